"""Bad input, of every kind: a clear error with its class and exit code, nothing half-kept, nothing lost.

Each case is given to the library and to the command line. The library must raise the class that says whose fault it
is; the command must end with that class's exit code and one line on stderr, without a traceback. Afterwards the store
must hold exactly what it held before, and work on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shoal
from shoal.errors import (
    CarError,
    Damaged,
    ExportError,
    InvalidCID,
    InvalidInput,
    NotADirectory,
    NotAFile,
    NotFound,
    ShoalError,
    SourceError,
    StoreError,
    UnsupportedCodec,
    UnsupportedHash,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MIB = 1 << 20
COMMAND = [sys.executable, "-m", "shoal"]
UNKNOWN = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
OK, FAILED, USAGE, NOT_FOUND, DAMAGED = 0, 1, 2, 3, 5


class Bench:
    """A store with something in it, and the means to see that a failed call left it alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "store"
        self.kept = b"kept " * 1000
        with self.open() as store:
            self.kept_cid = store.add(self.kept).cid
            self.before = self._held(store)

    @contextlib.contextmanager
    def open(self) -> Iterator[shoal.Store]:
        with shoal.Store(self.path) as store:
            yield store

    @staticmethod
    def _held(store: shoal.Store) -> tuple[int, int, int, list[str]]:
        stat = store.stat()
        return stat.blocks, stat.bytes, stat.pins, sorted(map(str, store.refs_local()))

    def assert_as_before(self, store: shoal.Store) -> None:
        """In the open store, and for whoever opens it next."""
        assert self._held(store) == self.before
        assert store.read(self.kept_cid) == self.kept
        assert store.verify().ok

    def assert_works_on(self, store: shoal.Store) -> None:
        cid = store.add(b"works on", pin=False).cid
        assert store.read(cid) == b"works on"
        assert store.delete(cid)

    @contextlib.contextmanager
    def refuses(self, *kinds: type[BaseException], names: str | None = None) -> Iterator[shoal.Store]:
        """The block must raise one of `kinds` with a message that names the culprit, and change nothing."""
        with self.open() as store:
            with pytest.raises(kinds) as caught:
                yield store
            assert type(caught.value).__module__.startswith("shoal") or not issubclass(kinds[0], ShoalError)
            message = str(caught.value)
            if names is not None:
                assert names in message
            assert message == "".join(letter for letter in message if letter.isprintable()), repr(message)
            self.assert_as_before(store)
            self.assert_works_on(store)
        with shoal.Store(self.path) as store:
            assert store.read(self.kept_cid) == self.kept
            assert store.verify().ok

    def command(
        self,
        *arguments: str | os.PathLike[str] | bytes,
        code: int,
        names: str | None = None,
        stdin: bytes = b"",
        before: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `shoal` and holds its ending against the rule: that exit code, and one line on stderr."""
        done = subprocess.run(
            [*before, *COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            env=os.environ | {"SHOAL_PATH": str(self.path), "NO_COLOR": "1", "XDG_CONFIG_HOME": str(self.folder)},
        )
        errors = done.stderr.decode()
        assert done.returncode == code, (arguments, done.returncode, errors)
        if code != OK:
            assert "Traceback" not in errors
            assert errors.startswith("shoal: "), errors
            assert errors.count("\n") == 1, errors
            assert errors.endswith("\n")
            assert "internal error" not in errors
            assert "panic" not in errors
            if names is not None:
                assert names in errors
        return done


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def painted(length: int, seed: str = "bad input") -> bytes:
    return hashlib.shake_128(seed.encode()).digest(length)


# In front of a command: root loses the right to read what permissions forbid (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH),
# by dropping them from the bounding set, which the program started next is given.
DROP_PRIVILEGE = """
import ctypes, os, sys
if os.geteuid() == 0:
    for capability in (1, 2):
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
WITHOUT_PRIVILEGE = [sys.executable, "-c", DROP_PRIVILEGE]


def run_child(code: str, *arguments: object, before: Sequence[str] = ()) -> str:
    done = subprocess.run(
        [*before, sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip()


# ── what is added ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_path_is_named(bench: Bench):
    with bench.refuses(SourceError, names="no-such-file") as store:
        store.add(bench.folder / "no-such-file")
    bench.command("add", "no-such-file", code=FAILED, names="no-such-file")


def test_a_missing_path_among_good_ones_keeps_none_of_them(bench: Bench):
    (bench.folder / "good").write_bytes(painted(3 * MIB))
    with bench.refuses(SourceError, names="no-such-file") as store:
        store.add_many([bench.folder / "good", bench.folder / "no-such-file"])


def test_an_unreadable_file_is_named_and_nothing_beside_it_is_kept(bench: Bench):
    folder = bench.folder / "mixed"
    folder.mkdir()
    (folder / "a").write_bytes(painted(3 * MIB))
    (folder / "secret").write_bytes(b"secret")
    (folder / "secret").chmod(0)
    (folder / "z").write_bytes(b"z")
    bench.command("add", "-r", "mixed", code=FAILED, names="secret", before=WITHOUT_PRIVILEGE)
    with bench.open() as store:
        bench.assert_as_before(store)
    code = (
        "import sys, shoal\nstore = shoal.Store(sys.argv[1])\n"
        "try: store.add(sys.argv[2])\nexcept shoal.errors.SourceError as error: print(error.exit_code, error)"
    )
    said = run_child(code, bench.path, folder, before=WITHOUT_PRIVILEGE)
    assert said.startswith("1 ")
    assert "secret" in said


def test_an_unreadable_folder_is_named(bench: Bench):
    folder = bench.folder / "mixed"
    (folder / "closed").mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    (folder / "closed").chmod(0)
    try:
        bench.command("add", "-r", "mixed", code=FAILED, names="closed", before=WITHOUT_PRIVILEGE)
    finally:
        (folder / "closed").chmod(0o700)
    with bench.open() as store:
        bench.assert_as_before(store)


def test_a_file_that_shrinks_while_it_is_read_is_refused(bench: Bench):
    path = bench.folder / "shrinking"
    size = 512 * MIB
    cut_at: list[int] = []

    def cut(progress: shoal.Progress) -> None:
        if not cut_at and progress.bytes > 0:
            cut_at.append(progress.bytes)
            os.truncate(path, 1)

    for _ in range(5):
        path.write_bytes(painted(MIB))
        os.truncate(path, size)
        cut_at.clear()
        with bench.open() as store:
            refusal = None
            try:
                store.add(path, progress=cut)
            except SourceError as error:
                refusal = str(error)
            if refusal is not None:
                assert "shrinking" in refusal
                bench.assert_as_before(store)
                bench.assert_works_on(store)
                return
            # The whole file had been read before its first progress was told: no shrinking was seen. Once more.
            assert cut_at
            assert cut_at[0] > size // 2, "a file cut in its first half was added as if nothing had happened"
    pytest.fail("the file was never cut in time")


def test_a_file_object_that_fails_leaves_nothing(bench: Bench):
    class Broken:
        left = 5 * MIB

        def read(self, most: int = -1) -> bytes:
            most = min(most if most >= 0 else MIB, MIB)
            self.left -= most
            if self.left < 0:
                raise OSError(5, "the cable came off")
            return painted(most, seed=str(self.left))

    with bench.refuses(OSError) as store:
        store.add(Broken())


def test_an_iterator_that_fails_raises_its_own_error_and_leaves_nothing(bench: Bench):
    class UnpluggedError(Exception):
        pass

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            yield painted(MIB, seed=str(number))
        raise UnpluggedError("of its own accord")

    with bench.refuses(UnpluggedError) as store:
        store.add(pieces())


@pytest.mark.parametrize("piece", ["text", 7, None, [1]], ids=str)
def test_a_source_that_yields_no_bytes_is_a_type_error(bench: Bench, piece: object):
    with bench.refuses(TypeError) as store:
        store.add(iter([painted(MIB), piece]))

    class Wrong:
        def read(self, most: int = -1) -> object:
            return piece if piece is not None else "text"

    with bench.refuses(TypeError) as store:
        store.add(Wrong())


@pytest.mark.parametrize("source", [7, None, 1.5, object()], ids=str)
def test_what_is_no_source_is_a_type_error(bench: Bench, source: object):
    with bench.refuses(TypeError) as store:
        store.add(source)


def test_a_cycle_of_followed_links_is_refused(bench: Bench):
    folder = bench.folder / "loop"
    (folder / "below").mkdir(parents=True)
    (folder / "below/up").symlink_to("..")
    (folder / "file").write_bytes(painted(2 * MIB))
    with bench.refuses(SourceError, names="up") as store:
        store.add(folder, dereference_symlinks=True)
    bench.command("add", "-r", "--dereference-symlinks", "loop", code=FAILED, names="up")


@pytest.mark.parametrize("target", ["itself", "nowhere"])
def test_a_followed_link_to_nothing_is_refused(bench: Bench, target: str):
    folder = bench.folder / "links"
    folder.mkdir()
    (folder / "itself").symlink_to(target)
    with bench.refuses(SourceError, names="itself") as store:
        store.add(folder, dereference_symlinks=True)
    bench.command("add", "-r", "--dereference-symlinks", "links", code=FAILED, names="itself")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_a_special_file_is_refused_and_never_waited_for(bench: Bench, kind: str):
    folder = bench.folder / "special"
    folder.mkdir()
    (folder / "a").write_bytes(painted(2 * MIB))
    with contextlib.ExitStack() as stack:
        if kind == "fifo":
            os.mkfifo(folder / "odd")
        elif kind == "socket":
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            place = os.getcwd()
            os.chdir(folder)  # the path of a socket is short
            try:
                listener.bind("odd")
            finally:
                os.chdir(place)
        elif os.geteuid() == 0:
            os.mknod(folder / "odd", 0o600 | 0o020000, os.makedev(1, 3))
        else:
            (folder / "odd").symlink_to("/dev/null")
        follow = kind == "device" and os.geteuid() != 0
        for path in (folder, folder / "odd"):
            with bench.refuses(SourceError, names="odd") as store:
                store.add(path, dereference_symlinks=follow)
        if not follow:
            bench.command("add", "-r", "special", code=FAILED, names="odd")
            bench.command("add", "special/odd", code=FAILED, names="odd")


def test_malformed_ignore_rules_are_refused(bench: Bench):
    folder = bench.folder / "tree"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    with bench.refuses(SourceError, InvalidInput, names="no-such-rules") as store:
        store.add(folder, ignore_files=[bench.folder / "no-such-rules"])
    done = bench.command("add", "-r", "--ignore-rules-path=no-such-rules", "tree", code=USAGE, names="no-such-rules")
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--chunker=size-0"], "chunk size"),
        (["--chunker=size-"], "chunker"),
        (["--chunker=size-99999999"], "chunk"),
        (["--chunker=rabin-1-2-3"], "rabin"),
        (["--chunker=rabin-100-50-20"], "rabin"),
        (["--chunker=rabin-16-16-16"], "rabin"),
        (["--chunker=mincdc-9-8"], "MIN < MAX"),
        (["--chunker=mincdc-3-9"], "mincdc"),
        (["--chunker=fastcdc-64-256"], "fastcdc"),
        (["--chunker=fastcdc-65-256-1024"], "even"),
        (["--chunker=scissors"], "mincdc"),
        (["--hash=md5"], "hash"),
        (["--hash=blake3", "--cid-version=0"], "blake3"),
        (["--cid-version=2"], "2"),
        (["--profile=unixfs-v1-2052"], "unixfs-v1-2025"),
        (["--inline", "--inline-limit=129"], "129"),
        (["--max-hamt-fanout=100"], "100"),
        (["--max-hamt-fanout=2048"], "2048"),
        (["--max-file-links=1"], "1"),
        (["--max-file-links=99999999"], "99999999"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_impossible_rules_are_a_usage_error(bench: Bench, flags: list[str], names: str):
    (bench.folder / "file").write_bytes(b"x")
    bench.command("add", *flags, "file", code=USAGE, names=names)
    with bench.open() as store:
        bench.assert_as_before(store)


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────────────────

READERS: dict[str, Callable[[shoal.Store, str], object]] = {
    "read": lambda store, content: store.read(content),
    "open": lambda store, content: store.open(content).read(),
    "cat": lambda store, content: list(store.cat(content)),
    "ls": lambda store, content: list(store.ls(content)),
    "get": lambda store, content: store.get(content, Path(store.path).parent / "got"),
    "resolve": lambda store, content: store.resolve(f"{content}/below"),
    "stat_path": lambda store, content: store.stat_path(content),
    "get_block": lambda store, content: store.get_block(content),
    "get_many": lambda store, content: store.get_many([content]),
    "size": lambda store, content: store.size(content),
    "refs": lambda store, content: list(store.refs(content, recursive=True)),
    "dag.get": lambda store, content: store.dag.get(content),
    "dag.stat": lambda store, content: store.dag.stat(content),
    "dag.export_car": lambda store, content: store.dag.export_car(content, Path(store.path).parent / "got"),
    "pins.add": lambda store, content: store.pins.add(content),
}
COMMANDS = [
    ["cat"],
    ["get", "-o", "got"],
    ["ls"],
    ["refs", "-r"],
    ["block", "get"],
    ["block", "stat"],
    ["dag", "get"],
    ["dag", "stat"],
    ["dag", "export", "-o", "got"],
    ["pin", "add"],
]


@pytest.mark.parametrize("verb", READERS)
def test_an_unknown_cid_is_not_found_by_any_verb(bench: Bench, verb: str):
    with bench.refuses(NotFound, names=UNKNOWN[:20]) as store:
        READERS[verb](store, UNKNOWN)
    with bench.open() as store, pytest.raises(KeyError):
        READERS[verb](store, UNKNOWN)
    assert not (bench.folder / "got").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_cid_ends_a_command_with_3(bench: Bench, words: list[str]):
    bench.command(*words, UNKNOWN, code=NOT_FOUND, names=UNKNOWN[:20])
    assert not (bench.folder / "got").exists()


MALFORMED = [
    "",
    "b",
    "Qm",
    "bafy",
    "hello",
    "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5",
    "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5ee",
    "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5!",
    "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR10",
    "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1",
    "zzzzzzzz",
    "/ipfs/",
    "/ipfs/nonsense",
    "/ipns/example.org",
    "ipfs://",
    "\x1b[31mred\x1b[0m",
    "bafk\nreiaa",
    "b" + "a" * 100_000,
    "ü",
    "f01551220" + "00" * 31,
    "f015512ffffffffffffffffff7f00",
    "f01551214" + "00" * 20 + "ff",
    "f0155001fff",
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: ascii(text[:24]))
def test_a_malformed_cid_is_invalid_for_every_verb(bench: Bench, text: str):
    for verb, read in READERS.items():
        with bench.open() as store, pytest.raises(InvalidInput) as caught:
            read(store, text)
        message = str(caught.value)
        assert message.isprintable(), (verb, message)
        assert len(message) < 500, verb
        assert isinstance(caught.value, ValueError)
    with pytest.raises(InvalidCID):
        shoal.CID(text)
    with bench.open() as store:
        bench.assert_as_before(store)


@pytest.mark.parametrize(
    "text", [text for text in MALFORMED if text and len(text) < 1000], ids=lambda text: ascii(text[:24])
)
def test_a_malformed_cid_ends_a_command_with_2(bench: Bench, text: str):
    for words in (["cat"], ["ls"], ["get"], ["block", "get"], ["dag", "export", "-o", "got"], ["cid", "inspect"]):
        done = bench.command(*words, "--", text, code=USAGE)
        assert b"\x1b" not in done.stderr


def test_a_name_that_is_not_there_is_not_found(bench: Bench):
    with bench.open() as store:
        root = store.put(dag_pb([], b"\x08\x01"), codec="dag-pb")
        bench.before = bench._held(store)
    with bench.refuses(NotFound, names="nothing") as store:
        store.read(f"{root}/nothing/below")
    bench.command("cat", f"{root}/nothing", code=NOT_FOUND, names="nothing")


def test_the_wrong_kind_of_content_is_named(bench: Bench):
    with bench.open() as store:
        directory = store.put(dag_pb([], b"\x08\x01"), codec="dag-pb")
        mapping = store.dag.put({"a": [1, 2]})
        broken = store.put(b"\xff\xff\xff not protobuf", codec="dag-pb")
        broken_cbor = store.put(b"\xa1\x61", codec="dag-cbor")
        untyped = store.put(dag_pb([], None), codec="dag-pb")
        bench.before = bench._held(store)
    for content, kinds in (
        (directory, (NotAFile,)),
        (mapping, (InvalidInput,)),
        (broken, (InvalidInput,)),
        (untyped, (InvalidInput,)),
    ):
        for verb in ("read", "open", "cat"):
            with bench.refuses(*kinds) as store:
                READERS[verb](store, str(content))
    for content in (broken, broken_cbor):
        for verb in ("dag.get", "dag.stat", "refs", "pins.add", "dag.export_car"):
            with bench.refuses(InvalidInput) as store:
                READERS[verb](store, str(content))
            assert not (bench.folder / "got").exists()
    with bench.refuses(NotADirectory) as store:
        store.read(f"{bench.kept_cid}/below")
    bench.command("cat", str(directory), code=FAILED)
    bench.command("cat", str(broken), code=USAGE)


def test_unknown_codecs_and_hashes_are_refused(bench: Bench):
    with bench.refuses(UnsupportedCodec, names="codec") as store:
        store.put(b"x", codec="dag-zip")
    with bench.refuses(UnsupportedHash, names="hash") as store:
        store.put(b"x", hash="md5")
    bench.command("block", "put", "--mhtype=md5", code=USAGE, names="hash", stdin=b"x")
    bench.command("block", "put", "--cid-codec=dag-zip", code=USAGE, names="codec", stdin=b"x")
    bench.command("dag", "put", code=USAGE, stdin=b'{"a":')
    bench.command("dag", "put", code=USAGE, stdin=b'{"a":1} trailing')
    bench.command("dag", "put", "--input-codec=dag-cbor", code=USAGE, stdin=b"\x9b\x40\0\0\0\0\0\0\0")
    bench.command("dag", "put", code=USAGE, stdin=b"[" * 100_000)
    with bench.open() as store:
        bench.assert_as_before(store)


def test_a_block_that_is_not_what_its_cid_says_is_refused(bench: Bench):
    cid = shoal.CID.of(b"true")
    for data in (b"false", b"", b"true "):
        with bench.refuses(InvalidInput, Damaged) as store:
            store.put(data, cid=cid)
        with bench.refuses(InvalidInput, Damaged) as store:
            store.put_many([painted(1000), (cid, data)])


def test_a_block_that_is_too_large_is_refused(bench: Bench):
    with bench.refuses(InvalidInput, names="2") as store:
        store.put(bytes(2 * MIB + 1))
    bench.command("block", "put", code=USAGE, stdin=bytes(2 * MIB + 1))


def test_ranges_outside_a_file_are_empty_or_refused(bench: Bench):
    with bench.open() as store:
        assert store.read(bench.kept_cid, len(bench.kept)) == b""
        assert store.read(bench.kept_cid, 2**62) == b""
        assert store.read(bench.kept_cid, len(bench.kept) - 3, 2**62) == bench.kept[-3:]
        for offset, length in ((-1, None), (0, -1), (2**64, None), (0, 2**64)):
            with pytest.raises((ValueError, OverflowError)):
                store.read(bench.kept_cid, offset, length)
        with store.open(bench.kept_cid) as file:
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)
            assert file.seek(2**40) == 2**40
            assert file.read() == b""


# ── CAR files ────────────────────────────────────────────────────────────────────────────────────────────────────


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if byte < 0x80:
            return value, place


def boundaries(car: bytes) -> list[int]:
    """Where the header and each section of a CARv1 end."""
    found, place = [], 0
    while place < len(car):
        length, place = _varint(car, place)
        place += length
        found.append(place)
    assert found[-1] == len(car)
    return found


@pytest.fixture(scope="module")
def car(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A DAG of some blocks, of another store, and its root."""
    with shoal.Store(tmp_path_factory.mktemp("other") / "store") as store:
        small = shoal.Profile.UNIXFS_V1_2025.replace(chunker="size-1000", file_links_max=4)
        root = store.add(painted(20_000), profile=small).cid
        return str(root), b"".join(bytes(piece) for piece in store.dag.export_car(root))


def test_a_car_cut_short_anywhere_is_refused_and_nothing_of_it_is_kept(
    bench: Bench, car: tuple[str, bytes], tmp_path: Path
):
    _, data = car
    ends = boundaries(data)
    assert len(ends) > 20
    cuts = sorted({0, 1, *(end + off for end in ends for off in (-1, 0, 1))} - {len(data), len(data) + 1})
    path = tmp_path / "cut.car"
    with bench.open() as store:
        for cut in cuts:
            path.write_bytes(data[:cut])
            # A cut between two sections leaves a well-formed CAR; what its root needs is missing then.
            with pytest.raises((CarError, NotFound)) as caught:
                store.dag.import_car(path)
            if cut not in ends:
                assert isinstance(caught.value, CarError), cut
            assert bench._held(store) == bench.before, cut
        bench.assert_as_before(store)
        bench.assert_works_on(store)


def test_a_car_cut_short_ends_the_command_with_1(bench: Bench, car: tuple[str, bytes]):
    root, data = car
    ends = boundaries(data)
    for cut in (0, 10, ends[0], ends[3] - 1, ends[3] + 1, len(data) - 1):
        (bench.folder / "cut.car").write_bytes(data[:cut])
        code = NOT_FOUND if cut in ends else FAILED
        bench.command("dag", "import", "cut.car", code=code)
        bench.command("dag", "import", code=code, stdin=data[:cut])
    bench.command("cat", root, code=NOT_FOUND)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("what", ["data", "digest"])
def test_a_car_with_a_lying_block_is_refused_and_nothing_of_it_is_kept(
    bench: Bench, car: tuple[str, bytes], where: str, what: str
):
    _, data = car
    ends = boundaries(data)
    section = {"first": 1, "middle": len(ends) // 2, "last": len(ends) - 1}[where]
    _, start = _varint(data, ends[section - 1])
    # Behind the length stand the CID (36 bytes: version, codec, hash, length, digest) and the block.
    place = start + 10 if what == "digest" else ends[section] - 1
    lying = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    path = bench.folder / "lying.car"
    path.write_bytes(lying)
    with bench.refuses(CarError) as store:
        store.dag.import_car(path)
    for pin_roots in (True, False):
        with bench.refuses(CarError) as store, path.open("rb") as file:
            store.dag.import_car(file, pin_roots=pin_roots)
    bench.command("dag", "import", "lying.car", code=FAILED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff" * 20,
        b"\x80" * 20,
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x80\x80\x80\x10" + b"\xa1" * 100,
        b"\x0a" + b"\xa1" * 10,
        b"\x11\xa2eroots\x80gversion\x03",
        b"\x11\xa2eroots\x80gversion\x00",
        b"\x0a\xa1gversion\x01",
        b"\x0a\xa1gversion\x02",
        b"\x0a\xa1gversion\x02" + b"\xff" * 40,
        b"\x11\xa2eroots\x80gversion\x01" + b"\xff\xff\xff\xff\x7f",
        b"\x11\xa2eroots\x80gversion\x01" + b"\x02\x01\x55",
        b"\x11\xa2eroots\x80gversion\x01" + b"\x05\x12\x20abc",
        b"\x11\xa2eroots\x80gversion\x01" + b"\0" * 10,
        b"not a car at all, but some text that is long enough to be taken for one",
    ],
    ids=lambda data: ascii(data[:24]),
)
def test_what_is_no_car_is_refused(bench: Bench, data: bytes):
    path = bench.folder / "no.car"
    path.write_bytes(data)
    with bench.refuses(CarError) as store:
        store.dag.import_car(path)
    bench.command("dag", "import", "no.car", code=FAILED)


def test_a_missing_car_is_named(bench: Bench):
    with bench.refuses(OSError, SourceError, names="no.car") as store:
        store.dag.import_car(bench.folder / "no.car")
    bench.command("dag", "import", "no.car", code=FAILED, names="no.car")


# ── what is written out ──────────────────────────────────────────────────────────────────────────────────────────


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _encoded(len(data)) + data


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def dag_pb(links: list[tuple[bytes, shoal.CID]], data: bytes | None) -> bytes:
    """A dag-pb node with those links, in that order, right or wrong."""
    out = b"".join(_field(2, _field(1, bytes(cid)) + _field(2, name) + b"\x18" + _encoded(1)) for name, cid in links)
    return out + (b"" if data is None else _field(1, data))


def directory(store: shoal.Store, *links: tuple[bytes | str, shoal.CID]) -> shoal.CID:
    named = [(name.encode() if isinstance(name, str) else name, cid) for name, cid in links]
    return store.put(dag_pb(named, b"\x08\x01"), codec="dag-pb", hash="sha2-256")


def symlink(store: shoal.Store, target: bytes | str) -> shoal.CID:
    target = target.encode() if isinstance(target, str) else target
    return store.put(dag_pb([], b"\x08\x04" + _field(2, target)), codec="dag-pb", hash="sha2-256")


def harmful(store: shoal.Store, case: str, outside: Path) -> tuple[shoal.CID, str]:
    """The root of a DAG that would write outside, and the entry that the error must name."""
    file = store.put(b"EVIL")
    one = directory(store, ("canary", file))
    match case:
        case "dot dot":
            return directory(store, ("..", one)), ".."
        case "dot dot below":
            return directory(store, ("good", directory(store, ("..", one)))), "good"
        case "dot":
            return directory(store, (".", one)), "."
        case "absolute":
            return directory(store, (str(outside / "canary"), file)), "canary"
        case "slash":
            return directory(store, ("../outside/canary", file)), "outside"
        case "slash inside":
            return directory(store, ("a/b", file)), "a/b"
        case "nul":
            return directory(store, (b"nothing\0more", file)), "nothing"
        case "empty":
            return directory(store, ("", file)), ""
        case "too long":
            return directory(store, ("n" * 256, file)), "nnnn"
        case "twice":
            return directory(store, ("double", file), ("double", store.put(b"other"))), "same name"
        case "link, then folder of its name":
            return directory(store, ("double", symlink(store, str(outside))), ("double", one)), "same name"
        case "relative link, then folder of its name":
            return directory(store, ("double", symlink(store, "../outside")), ("double", one)), "same name"
        case "link, then file of its name":
            return directory(store, ("double", symlink(store, "../outside/canary")), ("double", file)), "same name"
        case "absolute link":
            return directory(store, ("link", symlink(store, str(outside)))), "link"
        case "link upwards":
            return directory(store, ("link", symlink(store, "../../outside"))), "link"
        case "link upwards from below":
            return directory(store, ("a", directory(store, ("link", symlink(store, "../../outside"))))), "link"
        case "link upwards after going down":
            return directory(store, ("a", one), ("link", symlink(store, "a/../../outside"))), "link"
        case "link through another link":
            # `near` leads to the folder itself, so `near/..` is one higher than it reads.
            below = directory(store, ("near", symlink(store, "..")))
            return directory(store, ("a", below), ("link", symlink(store, "a/near/../outside"))), "link"
        case "link with nul":
            return directory(store, ("link", symlink(store, b"a\0b"))), "link"
        case "empty link":
            return directory(store, ("link", symlink(store, ""))), "link"
        case "root is an escaping link":
            return symlink(store, "../outside/canary"), ""
    raise AssertionError(case)


CASES = [
    "dot dot",
    "dot dot below",
    "dot",
    "absolute",
    "slash",
    "slash inside",
    "nul",
    "empty",
    "too long",
    "twice",
    "link, then folder of its name",
    "relative link, then folder of its name",
    "link, then file of its name",
    "absolute link",
    "link upwards",
    "link upwards from below",
    "link upwards after going down",
    "link through another link",
    "link with nul",
    "empty link",
    "root is an escaping link",
]


def everything(root: Path) -> dict[str, object]:
    """What is in a folder, down to times: a file touched and restored would still be seen."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["library", "command", "command over what is there"])
def test_a_harmful_directory_is_refused_by_name_and_writes_nothing(bench: Bench, case: str, how: str):
    place = bench.folder / "place"
    outside = place / "outside"
    outside.mkdir(parents=True)
    (outside / "canary").write_bytes(b"unharmed")
    (place / "neighbour").write_bytes(b"unharmed")
    with bench.open() as store:
        root, entry = harmful(store, case, outside)
        bench.before = bench._held(store)
    target = place / "target"
    over = how == "command over what is there"
    if over:
        target.mkdir()
        (target / "mine").write_bytes(b"mine")
    before = everything(place)
    if how == "library":
        with bench.refuses(ExportError, InvalidInput, names=entry) as store:
            store.get(root, target)
    else:
        force = ["--force"] if over else []
        done = subprocess.run(
            [*COMMAND, "get", *force, "-o", target, str(root)],
            capture_output=True,
            timeout=60,
            check=False,
            env=os.environ | {"SHOAL_PATH": str(bench.path), "NO_COLOR": "1"},
            cwd=place,
        )
        errors = done.stderr.decode()
        assert done.returncode in (FAILED, USAGE), errors
        assert errors.count("\n") == 1
        assert errors.startswith("shoal: ")
        assert "internal error" not in errors
        assert entry in errors
    assert everything(place) == before


def test_a_link_that_stays_inside_is_written(bench: Bench):
    """The counterpart of the refusals: what is harmless must not be refused with the rest."""
    with bench.open() as store:
        file = store.put(b"text")
        below = directory(store, ("up", symlink(store, "../file")), ("self", symlink(store, ".")))
        root = directory(
            store, ("a", below), ("file", file), ("to", symlink(store, "a/up")), ("x", symlink(store, "gone"))
        )
        store.get(root, bench.folder / "target")
    target = bench.folder / "target"
    assert os.readlink(target / "a/up") == "../file"
    assert (target / "to").read_bytes() == b"text"
    assert os.readlink(target / "x") == "gone"


def test_a_link_in_the_target_itself_is_not_followed(bench: Bench):
    outside = bench.folder / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"unharmed")
    target = bench.folder / "target"
    target.mkdir()
    (target / "d").symlink_to(outside)
    (target / "f").symlink_to(outside / "canary")
    with bench.open() as store:
        file = store.put(b"EVIL")
        roots = [directory(store, ("d", directory(store, ("canary", file)))), directory(store, ("f", file))]
        for root in roots:
            for force in (False, True):
                with contextlib.suppress(ExportError):
                    store.get(root, target, force=force)
                assert everything(outside)["canary"][3] == b"unharmed"
                assert list(outside.iterdir()) == [outside / "canary"]


def test_what_exists_is_not_replaced_unless_asked(bench: Bench):
    target = bench.folder / "target"
    target.write_bytes(b"mine")
    with bench.refuses(ExportError, names="target") as store:
        store.get(bench.kept_cid, target)
    bench.command("get", "-o", "target", str(bench.kept_cid), code=FAILED, names="target")
    assert target.read_bytes() == b"mine"
    assert sorted(path.name for path in bench.folder.iterdir()) == ["store", "target"]
    with bench.open() as store:
        store.get(bench.kept_cid, target, force=True)
    assert target.read_bytes() == bench.kept


def test_an_export_that_finds_a_block_missing_leaves_nothing(bench: Bench):
    with bench.open() as store:
        small = shoal.Profile.BLAKE3.replace(chunker="size-1000")
        file = store.add(painted(100_000), profile=small, pin=False).cid
        root = directory(store, ("a", store.put(b"a")), ("b", file), ("c", store.put(b"c")))
        last = list(store.refs(file))[-1][1]
        assert store.delete(last, force=True)
        bench.before = bench._held(store)
    with bench.refuses(NotFound, names=str(last)) as store:
        store.get(root, bench.folder / "target")
    with bench.refuses(NotFound) as store:
        store.get(f"{root}/b", bench.folder / "target")
    with bench.refuses(NotFound) as store:
        store.dag.export_car(root, bench.folder / "target")
    bench.command("get", "-o", "target", str(root), code=NOT_FOUND, names=str(last))
    assert sorted(path.name for path in bench.folder.iterdir()) == ["store"]


DEEP = """
import sys, shoal, shoal.errors
store = shoal.Store(sys.argv[1])
def field(number, data):
    length, out = len(data), bytearray()
    while length > 0x7f:
        out.append(length & 0x7f | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *out, length]) + data
kind, levels, width = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
cid = shoal.CID.of(b"leaf", hash="blake3")
blocks = [(cid, b"leaf")]
for _ in range(levels):
    link = lambda name: field(2, field(1, bytes(cid)) + field(2, name) + b"\\x18\\x01")
    if kind == "directories":
        node = b"".join(link(b"%d" % number) for number in range(width)) + field(1, b"\\x08\\x01")
    elif kind == "files":
        node = link(b"") * width + field(1, b"\\x08\\x02" + b"\\x18\\x04" + b"\\x20\\x04" * width)
    else:
        node = shoal.dag_encode("dag-cbor", [cid] * width)
    cid = shoal.CID.of(node, codec="dag-cbor" if kind == "objects" else "dag-pb", hash="blake3")
    blocks.append((cid, node))
store.put_many(blocks)
def attempt(job):
    try:
        job()
    except (shoal.errors.ShoalError, OverflowError) as error:
        print(type(error).__name__, str(error)[:80])
for job in (
    lambda: store.dag.stat(cid),
    lambda: list(store.refs(cid, recursive=True, unique=True)),
    lambda: store.pins.add(cid),
    lambda: store.gc(dry_run=True),
    lambda: store.verify(),
    lambda: store.dag.export_car(cid, "/dev/null"),
    lambda: store.stat_path(cid),
    *((lambda: store.get(cid, sys.argv[5]), lambda: list(store.ls(cid, recursive=True))) if width == 1 else ()),
    *((lambda: store.read(cid, 0, 100), lambda: store.open(cid).read(100)) if kind == "files" else ()),
):
    attempt(job)
print("alive")
"""


@pytest.mark.parametrize("kind", ["directories", "files", "objects"])
@pytest.mark.parametrize(("levels", "width"), [(5000, 1), (64, 2)], ids=["deep", "exponential"])
def test_a_dag_built_to_exhaust_is_survived(bench: Bench, kind: str, levels: int, width: int):
    """Nesting deeper than any stack, and 2^64 ways through 64 blocks: an error or an answer, in bounded time."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", DEEP, bench.path, kind, str(levels), str(width), str(bench.folder / "target")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    assert done.stdout.endswith("alive\n")
    assert time.monotonic() - began < 60
    with bench.open() as store:
        assert store.read(bench.kept_cid) == bench.kept


# ── a full disk ──────────────────────────────────────────────────────────────────────────────────────────────────

FULL = """
import hashlib, os, sys, shoal, shoal.errors
folder = sys.argv[1]
def painted(length, seed):
    return hashlib.shake_128(seed.encode()).digest(length)
def held(store):
    stat = store.stat()
    return stat.blocks, stat.bytes, stat.pins, sorted(map(str, store.refs_local()))
store = shoal.Store(folder + "/store")
kept = store.add(painted(1_000_000, "kept")).cid
before = held(store)
for job in (
    lambda: store.add(painted(64 << 20, "too much")),
    lambda: store.add(iter([painted(1 << 20, str(n)) for n in range(64)])),
    lambda: store.put_many([painted(1 << 20, str(n)) for n in range(64)]),
    lambda: store.dag.import_car(sys.argv[2]),
):
    try:
        job()
    except shoal.errors.StoreFull as error:
        assert error.exit_code == 1, error.exit_code
        assert isinstance(error, OSError)
        assert str(error).isprintable()
    else:
        sys.exit("a full disk was not noticed")
    assert held(store) == before, "half-kept"
    assert store.read(kept) == painted(1_000_000, "kept"), "lost"
    small = store.add(painted(10_000, "small"), pin=False).cid
    assert store.read(small) == painted(10_000, "small"), "does not work on"
    store.gc()
    assert held(store) == before, "not collected"
for target, job in (
    ("file", lambda target: store.get(sys.argv[4], target)),
    ("car", lambda target: store.dag.export_car(sys.argv[4], target)),
):
    store.close()
    store = shoal.Store(sys.argv[3], read_only=True)
    try:
        job(f"{folder}/{target}")
    except OSError as error:
        assert isinstance(error, shoal.errors.ShoalError), repr(error)
    else:
        sys.exit("a full disk was not noticed while writing out")
    assert sorted(os.listdir(folder)) == ["store"], os.listdir(folder)
store.close()
store = shoal.Store(folder + "/store")
assert held(store) == before, "half-kept after opening again"
assert store.verify().ok
print("alive")
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """A store elsewhere with a large file in it: its folder, the root, and its CAR."""
    folder = tmp_path_factory.mktemp("large")
    with shoal.Store(folder / "store") as store:
        root = store.add(painted(64 * MIB)).cid
        store.dag.export_car(root, folder / "large.car")
    return folder / "store", str(root), folder / "large.car"


def _own_mounts() -> list[str]:
    """A command prefix under which a file system may be mounted, seen by nobody else."""
    for prefix in (["unshare", "-m"], ["unshare", "-rm"]):
        with contextlib.suppress(OSError):
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
                return prefix
    return []


def test_a_full_disk_is_noticed_and_nothing_is_half_kept(tmp_path: Path, large: tuple[Path, str, Path]):
    store, root, car = large
    disk = tmp_path / "disk"
    disk.mkdir()
    prefix = _own_mounts()
    assert prefix, "this machine allows no mounts of one's own (unshare -m), so a full disk cannot be made"
    mount = 'mount -t tmpfs -o size=8m none "$0" && exec "$@"'
    done = subprocess.run(
        [*prefix, "sh", "-c", mount, disk, sys.executable, "-c", FULL, disk, car, store, root],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout == "alive\n"


def test_a_full_disk_ends_the_command_with_1(tmp_path: Path, large: tuple[Path, str, Path]):
    _, _, car = large
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=8m none "$0" && exec "$@"'
    done = subprocess.run(
        [*_own_mounts(), "sh", "-c", mount, disk, *COMMAND, "add", car],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"SHOAL_PATH": str(disk / "store")},
    )
    assert done.returncode == FAILED
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("shoal: ")


def test_a_limit_on_the_size_of_files_is_an_error_like_a_full_disk(bench: Bench):
    code = (
        "import resource, sys, shoal, signal, os\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = shoal.Store(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))\n"
        "try: store.add(iter([os.urandom(1 << 20) for _ in range(16)]))\n"
        "except shoal.errors.StoreError as error: print(error.exit_code)\n"
    )
    assert run_child(code, bench.path) == "1"
    with bench.open() as store:
        bench.assert_as_before(store)
        bench.assert_works_on(store)


# ── the store itself ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer/SHOAL").write_text("shoal-store 99999\n")
    for name in ("file", "newer"):
        with pytest.raises(StoreError) as caught:
            shoal.Store(tmp_path / name)
        assert name in str(caught.value)
        done = subprocess.run(
            [*COMMAND, "--store", tmp_path / name, "add", "-"], input=b"x", capture_output=True, timeout=60, check=False
        )
        assert done.returncode == FAILED
        assert done.stderr.count(b"\n") == 1
    assert (tmp_path / "full/mine").read_bytes() == b"mine"
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_damaged_byte_is_found_and_named_and_never_returned(bench: Bench):
    content = painted(5 * MIB)
    with bench.open() as store:
        cid = store.add(content).cid
    packs = sorted((bench.path / "packs").glob("*.car"), key=lambda path: path.stat().st_size)
    whole = packs[-1].read_bytes()
    place = whole.index(content[3 * MIB + 5 : 3 * MIB + 50])
    with packs[-1].open("r+b") as file:
        file.seek(place)
        file.write(bytes([whole[place] ^ 0x40]))
    with bench.open() as store:
        with pytest.raises(Damaged) as caught:
            store.read(cid)
        assert caught.value.exit_code == DAMAGED
        assert caught.value.cid is not None
        assert store.read(cid, 0, MIB) == content[:MIB]
        report = store.verify()
        assert not report.ok
        assert [damage.cid for damage in report.damaged] == [caught.value.cid]
        assert cid in report.roots
        with pytest.raises(Damaged):
            store.get(cid, bench.folder / "target")
        with pytest.raises(Damaged):
            store.dag.export_car(cid, bench.folder / "target")
    assert sorted(path.name for path in bench.folder.iterdir()) == ["store"]
    bench.command("cat", str(cid), code=DAMAGED, names=str(caught.value.cid))
    bench.command("get", "-o", "target", str(cid), code=DAMAGED)
    done = subprocess.run(
        [*COMMAND, "--store", bench.path, "verify"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == DAMAGED
    assert str(caught.value.cid) in done.stdout


# ── a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────


def on_a_terminal(arguments: list[str], environment: dict[str, str], cwd: Path) -> tuple[int, bytes]:
    """Runs `shoal` with a terminal for its input and outputs; its exit code, and all that reached the terminal."""
    terminal, inner = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *arguments], stdin=inner, stdout=inner, stderr=inner, cwd=cwd, env=os.environ | environment
    )
    os.close(inner)
    shown = b""
    deadline = time.monotonic() + 60
    with contextlib.suppress(OSError):  # how the end of a terminal is told
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                piece = os.read(terminal, 65536)
                if not piece:
                    break
                shown += piece
    os.close(terminal)
    if time.monotonic() >= deadline:
        child.kill()
    return child.wait(), shown


HOSTILE_NAME = b"a\x1b]0;owned\x07\x1b[31m\x08\x7f\xc2\x9b2J\rnew\nline \xe2\x80\xae"


def test_control_characters_in_names_never_reach_a_terminal(bench: Bench):
    folder = bench.folder / "tree"
    folder.mkdir()
    with open(os.path.join(os.fsencode(folder), HOSTILE_NAME), "wb") as file:
        file.write(b"x")
    environment = {"SHOAL_PATH": str(bench.path), "NO_COLOR": "1", "TERM": "dumb"}
    with bench.open() as store:
        root = store.add(folder).cid
        evil = directory(store, (b"\x1b[2J/evil", store.put(b"x")))
    missing = "no-such\x1b[31m\x07\x9b-file"
    for arguments, code in (
        (["add", "--no-progress", "-r", "tree"], OK),
        (["ls", str(root)], OK),
        (["ls", "--long", "--headers", str(root)], OK),
        (["refs", "--format", "<linkname>", str(root)], OK),
        (["ls", str(evil)], None),
        (["get", "--no-progress", "-o", "target", str(evil)], FAILED),
        (["cat", f"{root}/{missing}"], NOT_FOUND),
        (["add", "--no-progress", missing], FAILED),
        (["ls", missing], USAGE),
    ):
        ended, shown = on_a_terminal(arguments, environment, bench.folder)
        assert code is None or ended == code, (arguments, ended, shown)
        text = shown.replace(b"\r\n", b"\n").decode()
        bad = [letter for letter in text if letter != "\n" and not letter.isprintable()]
        assert not bad, (arguments, shown)
        assert shown, arguments


def test_the_name_is_still_exact_for_a_program(bench: Bench):
    folder = bench.folder / "tree"
    folder.mkdir()
    with open(os.path.join(os.fsencode(folder), HOSTILE_NAME), "wb") as file:
        file.write(b"x")
    with bench.open() as store:
        root = store.add(folder).cid
        assert [entry.name for entry in store.ls(root)] == [HOSTILE_NAME.decode()]
        store.get(root, bench.folder / "target")
    assert os.listdir(os.fsencode(bench.folder / "target")) == [HOSTILE_NAME]


# ── interruptions ────────────────────────────────────────────────────────────────────────────────────────────────


def test_control_c_ends_an_add_with_130_and_keeps_nothing(bench: Bench):
    large = bench.folder / "large"
    with large.open("wb") as file:
        for number in range(8):
            file.write(painted(64 * MIB, seed=str(number)))
    try:
        child = subprocess.Popen(
            [*COMMAND, "--store", bench.path, "add", "--profile=unixfs-v1-2025", large],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.35)
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=30)
        if child.returncode == OK:
            pytest.fail("512 MiB were added within 0.35 s: the test needs a larger file")
        assert child.returncode == 130, (child.returncode, errors)
        assert out == ""
        assert "Traceback" not in errors
        with bench.open() as store:
            bench.assert_as_before(store)
            bench.assert_works_on(store)
    finally:
        large.unlink()


def test_a_reader_that_goes_away_ends_a_command_quietly(bench: Bench):
    with bench.open() as store:
        cid = store.add(painted(20 * MIB)).cid
    child = subprocess.Popen(
        [*COMMAND, "--store", bench.path, "cat", str(cid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.read(10) == painted(10)
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=30) in (-signal.SIGPIPE, 128 + signal.SIGPIPE, FAILED)
    assert errors == b""
