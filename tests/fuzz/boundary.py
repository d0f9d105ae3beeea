"""Checks of the Python boundary: functions of any bytes that fail where a law is broken, and the way of Atheris to them.

The laws: what is asked with arguments of the right types is answered or refused with a `ShoalError`, never with another
exception, a panic or a crash; and what was answered survives being written and read again.

`python tests/fuzz/boundary.py` names the targets; with a target's name and libFuzzer's arguments it fuzzes (`.ci/fuzz python`).
`test_fuzz_corpus.py` beside it replays the committed corpus in ordinary runs, without Atheris.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import shoal
from shoal import config

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_BYTES = 300_000
REFUSED = shoal.ShoalError


class Room(NamedTuple):
    """What the checks of one process share: a folder, a store in it, and what the store holds."""

    folder: Path
    store: shoal.Store
    data: bytes
    file: shoal.CID
    tree: shoal.CID


@functools.cache
def room() -> Room:
    # In memory where that can be had: archives are committed to disk one after the other.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="shoal-fuzz-", dir=memory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = shoal.Store(folder / "store")
    data = bytes((i // 7 ^ i) % 251 for i in range(FILE_BYTES))
    tree = folder / "tree"
    (tree / "below").mkdir(parents=True)
    for name in ("a.txt", "b.pyc", "below/a.txt", "below/c"):
        (tree / name).write_text(name)
    return Room(folder, store, data, store.add(data, profile="unixfs-v0-2015").cid, store.add(tree).cid)


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def cid(data: bytes) -> None:
    for value in (data, text_of(data)):
        with contextlib.suppress(REFUSED):
            found = shoal.CID(value)
            assert shoal.CID(str(found)) == found == shoal.CID(bytes(found)) == pickle.loads(pickle.dumps(found))
            assert hash(found) == hash(shoal.CID(bytes(found)))
            assert found.digest in found.multihash
            assert found.to_v1().version == 1
            for base in ("base16", "base32", "base36", "base58btc", "base64url"):
                with contextlib.suppress(REFUSED):
                    assert shoal.CID(found.encode(base)) == found


def path(data: bytes) -> None:
    text = text_of(data)
    for value in (text, f"{room().tree}/{text}"):
        with contextlib.suppress(REFUSED):
            found = shoal.Path.parse(value)
            assert shoal.Path.parse(str(found)) == found == pickle.loads(pickle.dumps(found))
            assert shoal.Path(found.root, *found.names) == found
            with contextlib.suppress(REFUSED):
                assert (found / text).root == found.root


def profile(data: bytes) -> None:
    # Of text that is none, Python's own error says what is wrong.
    text = data[8:].decode("utf-8", "replace")
    with contextlib.suppress(REFUSED):
        assert shoal.Profile.named(text).name == text
    number = int.from_bytes(data[1:8], "little", signed=True)
    names = (
        "cid_version",
        "file_links_max",
        "directory_links_max",
        "hamt_fanout",
        "hamt_threshold_bytes",
        "inline_bytes_max",
    )
    words = ("hash", "chunker", "layout", "directory_size")
    which = data[0] if data else 0
    change: dict[str, int | str | bool] = {words[which % 4]: text}
    if which & 4:
        change = {names[(which >> 4) % 6]: number}
    if which & 8:
        change["raw_leaves"] = bool(number & 1)
    # A number that no field of its kind can hold is an OverflowError, as everywhere in Python.
    with contextlib.suppress(REFUSED, OverflowError):
        changed = shoal.Profile.all()[which % 3].replace(**change)  # type: ignore[arg-type]
        assert changed == pickle.loads(pickle.dumps(changed))
        room().store.add(room().data[:1000], profile=changed, only_hash=True)


def dag(data: bytes) -> None:
    codec = ("dag-cbor", "dag-json", "dag-pb", "raw")[data[0] % 4] if data else "raw"
    block = data[1:]
    with contextlib.suppress(REFUSED):
        value = shoal.dag_decode(codec, block)
        try:
            again = shoal.dag_encode(codec, value)
        except REFUSED:
            assert codec == "dag-pb", "what was read cannot be written"
            return
        # dag-pb sorts its links; the others have one form.
        assert again == block or codec == "dag-pb"
        # Not by value: the dag-json of an integer above 2^64 is one that no other codec holds.
        assert shoal.dag_encode(codec, shoal.dag_decode(codec, again)) == again
    with contextlib.suppress(REFUSED):
        room().store.dag.put_bytes(block, input_codec=codec, store_codec="dag-json")


def archive(data: bytes) -> None:
    store = room().store
    pin = bool(data and data[0] & 1)
    with contextlib.suppress(REFUSED):
        taken = store.dag.import_car(data[1:], pin_roots=pin)
        assert taken.new_blocks <= taken.blocks
        for root in taken.roots if pin else ():
            assert bytes(store.get_block(root)) is not None
            store.pin.rm(root)


def content(data: bytes) -> None:
    text = text_of(data)
    store = room().store
    for value in (text, f"{room().tree}/{text}", f"/ipfs/{room().tree}/below/{text}"):
        for deed in (store.read, store.stat_path, store.resolve, store.dag.get, lambda name: list(store.ls(name))):
            with contextlib.suppress(REFUSED):
                deed(value)


def settings(data: bytes) -> None:
    file = room().folder / "config.toml"
    file.write_bytes(data)
    with contextlib.suppress(REFUSED):
        before = config.read_file(file)
        for name, text in (("output.color", "never"), ("add.profile", "blake3")):
            with contextlib.suppress(REFUSED):
                value = config.write(file, name, text)
                assert config.read_file(file) == {**before, name: value}
                before = config.read_file(file)
    name, _, value_text = text_of(data).partition("=")
    file.unlink(missing_ok=True)
    with contextlib.suppress(REFUSED):
        value = config.write(file, name, value_text)
        assert config.read_file(file) == {name: value}


def ignore(data: bytes) -> None:
    rules = text_of(data).splitlines()
    with contextlib.suppress(REFUSED):
        room().store.add(room().folder / "tree", ignore=rules, only_hash=True)
    file = room().folder / "rules"
    file.write_bytes(data)
    with contextlib.suppress(REFUSED):
        room().store.add(room().folder / "tree", ignore_files=[file], only_hash=True)


def ranges(data: bytes) -> None:
    numbers = [int.from_bytes(data[at : at + 4], "little", signed=True) for at in range(0, len(data) // 8 * 8, 4)]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))[:16]
    whole = room().data
    with room().store.open(room().file) as file:
        for offset, size in pairs:
            if offset >= 0 and size >= 0:
                assert file.read_at(offset, size) == whole[offset : offset + size]
                assert file.seek(offset) == offset
                assert file.read(size) == whole[offset : offset + size]
            else:
                with contextlib.suppress(REFUSED):
                    file.read_at(offset, size)
                with contextlib.suppress(REFUSED, ValueError):
                    file.seek(offset)
        is_right = all(offset >= 0 and size >= 0 for offset, size in pairs)
        try:
            found = file.read_ranges(pairs)
        except shoal.InvalidInput:
            assert not is_right
        else:
            assert is_right
            assert found == [whole[offset : offset + size] for offset, size in pairs]


TARGETS: dict[str, Callable[[bytes], None]] = {
    check.__name__: check for check in (cid, path, profile, dag, archive, content, settings, ignore, ranges)
}


def main(arguments: list[str]) -> None:
    if len(arguments) == 1:
        print("\n".join(TARGETS))
        return
    import atheris

    check = TARGETS[arguments[1]]
    # Python code is what Atheris sees inside; of Rust it sees what comes out.
    for module in (shoal.store, shoal.dag, shoal.file, config):
        for name, member in vars(module).items():
            if (
                callable(member)
                and getattr(member, "__module__", None) == module.__name__
                and hasattr(member, "__code__")
            ):
                setattr(module, name, atheris.instrument_func(member))
    room()
    atheris.Setup([arguments[0], *arguments[2:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
