"""`shoal demo`: the whole job on real input, told as it happens: add, add again, read back, move, damage, find it.

The input is this Python's own standard library and one generated file. Nothing outside a scratch folder is touched.
The one rule: every sentence it prints has just been checked; what does not hold ends the demo with an error.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from shoal import CID, Added, Store, _core
from shoal.cli.command import byte_count, command
from shoal.cli.measure import Row, Scratch, copy_file, copy_tree, scratch, table, thread_count, timed, write_input
from shoal.cli.output import human_bytes, printable_line
from shoal.cli.session import Session, pass_session
from shoal.errors import Damaged

# The input, its store, and either what is read back or a second store to damage.
_FOLDS = 3.4
_SIZE_MAX = 64 << 30
_COMPARE_BYTES = 1 << 20
_NOT_THE_LIBRARY = ("site-packages", "dist-packages", "__pycache__", "*.pyc")


@command("demo", examples=["shoal demo --size 64MiB", "shoal demo --size 64MiB --json"])
@click.option(
    "--size",
    callback=byte_count,
    default="1GiB",
    metavar="SIZE",
    help="Size of the generated file (default: 1GiB, less where room is short).",
)
@click.option("--keep", is_flag=True, help="Leave the scratch folder, and say where it is.")
@pass_session
def demo(session: Session, size: int, keep: bool) -> None:
    """Show what Shoal does, on real files, in well under a minute.

    The files are this Python's standard library and a generated one.
    Adds both, adds them again, reads them back, moves the file to a second node
    in another process, damages a copy of the store and finds the damage.
    Works in a memory-backed folder where there is room, and removes everything it made.
    """
    if not 1 << 20 <= size <= _SIZE_MAX:
        raise click.BadParameter("between 1MiB and 64GiB", param_hint="--size")
    with scratch("demo", size, _FOLDS, keep=keep) as place:
        run = _Demo(session, place)
        run.play(size)
    if keep:
        run.say("", f"Kept: {place.folder}")
    session.output.result(run.record | {"kept": str(place.folder) if keep else None})


@dataclass(frozen=True)
class _Input:
    """Something to add: what to call it, and where it lies."""

    what: str
    path: Path


class _Demo:
    """One showing: what it works on, what it has found out, and the rows of its table."""

    def __init__(self, session: Session, place: Scratch) -> None:
        self._output = session.output
        self._place = place
        self._folder = place.folder
        self._rows: list[Row] = []
        self.record: dict[str, object] = {
            "folder": str(place.folder),
            "in_memory": place.in_memory,
            "processors": thread_count(),
        }

    def say(self, *lines: str) -> None:
        """Tells people; a program gets the record instead."""
        if not self._output.json:
            self._output.lines(lines)
            # Whoever reads along through a pipe sees it happen, too.
            sys.stdout.flush()

    def _title(self, text: str) -> None:
        self.say("", self._output.styled(text, "1"))

    def _row(self, what: str, size: int, seconds: float, yardstick: tuple[str, float]) -> None:
        self._rows.append(Row(what, size, seconds, *yardstick))

    def play(self, wanted: int) -> None:
        self.say(f"Working in {self._place.place}.")
        if self._place.bytes < wanted:
            self.say(f"There is room for a file of {human_bytes(self._place.bytes)}, not {human_bytes(wanted)}.")
        inputs = self._prepare()
        with Store(self._folder / "store") as store:
            self._title("Adding")
            added = [self._add(store, entry) for entry in inputs]
            self._title("Adding both again")
            for entry, first in zip(inputs, added, strict=True):
                self._add_again(store, entry, first)
            self._title("Reading both back by their CIDs, every block checked")
            for entry, first in zip(inputs, added, strict=True):
                self._read_back(store, entry, first)
        self._title("Moving the large file to a second node, another process")
        self._move(added[-1])
        self._title("Damaging a copy of the store")
        self._damage({str(first.cid): entry.what for entry, first in zip(inputs, added, strict=True)})
        self._title("How fast")
        self.say(*table(self._rows))
        self.record["rows"] = [row.record() for row in self._rows]

    def _prepare(self) -> list[_Input]:
        """The inputs. Both have just been written, so that no job pays for a first sight of them."""
        library, large = self._folder / "library", self._folder / "large"
        source = Path(os.__file__).parent
        shutil.copytree(source, library, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_THE_LIBRARY))
        write_input(large, self._place.bytes)
        self.record["input"] = {"library": str(source), "large_bytes": self._place.bytes}
        return [_Input("standard library", library), _Input("large file", large)]

    def _copying(self, path: Path) -> tuple[str, float]:
        """The yardstick for storing and for writing out, measured just before: a plain copy of the same."""
        copy = self._folder / "copy"
        if path.is_dir():
            seconds = timed(lambda: copy_tree(path, copy))[1]
            shutil.rmtree(copy)
            return "cp -r", seconds
        seconds = timed(lambda: copy_file(path, copy))[1]
        copy.unlink()
        return "copy", seconds

    def _hashing(self, size: int) -> tuple[str, float]:
        """The yardstick where nothing is written: BLAKE3 over as many bytes in memory, on all processors."""
        return "BLAKE3 alone", _core.bench_hash("blake3", size, thread_count())

    def _add(self, store: Store, entry: _Input) -> Added:
        yardstick = self._copying(entry.path)
        added, seconds = timed(lambda: store.add(entry.path, hidden=True))
        _check(added.new_bytes > 0, "the first add stored nothing")
        files = "1 file" if added.files == 1 else f"{added.files:,} files"
        self.say(f"added {added.cid} {entry.what}: {files}, {human_bytes(added.bytes)}")
        self._row(f"add the {entry.what}", added.bytes, seconds, yardstick)
        self.record[entry.what.replace(" ", "_")] = {
            "cid": str(added.cid),
            "bytes": added.bytes,
            "files": added.files,
        }
        return added

    def _add_again(self, store: Store, entry: _Input, first: Added) -> None:
        yardstick = self._hashing(first.bytes)
        again, seconds = timed(lambda: store.add(entry.path, hidden=True))
        _check(again.cid == first.cid, "a second add of the same bytes gave another CID")
        _check(again.new_bytes == 0 and again.new_blocks == 0, "a second add of the same bytes stored something")
        self.say(f"the same CID, nothing stored: {entry.what}")
        self._row(f"add the {entry.what} again", again.bytes, seconds, yardstick)
        self.record["second_add_new_bytes"] = again.new_bytes

    def _read_back(self, store: Store, entry: _Input, first: Added) -> None:
        out = self._folder / "out"
        yardstick = self._copying(entry.path)
        _, seconds = timed(lambda: store.get(first.cid, out))
        _check(_same(entry.path, out), f"what was read back differs: {entry.what}")
        self.say(f"identical to what was added: {entry.what}")
        self._row(f"get the {entry.what}", first.bytes, seconds, yardstick)
        self.record["read_back"] = "identical"
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink()

    def _move(self, first: Added) -> None:
        """A process of its own shares the file; this one fetches it into a second store, over TCP, encrypted."""
        from shoal.cli.moving import fetched_from, raw_tcp_seconds, shared

        yardstick = "plain TCP", raw_tcp_seconds(first.bytes)
        with shared(self._folder / "store", str(first.cid)) as addresses:
            done = fetched_from(self._folder / "there", str(first.cid), addresses)
        with Store(self._folder / "there", read_only=True) as store:
            _check(store.dag.stat(first.cid).bytes >= first.bytes, "not all of the file came to the second node")
        self.say(f"{human_bytes(done.bytes)} came in {done.blocks:,} blocks from {len(done.peers)} peer, each checked")
        self._row("move the large file", done.bytes, done.seconds, yardstick)
        self.record["moved"] = {"bytes": done.bytes, "blocks": done.blocks, "duplicate_bytes": done.duplicate_bytes}
        shutil.rmtree(self._folder / "there")

    def _damage(self, names: dict[str, str]) -> None:
        """One bit of a copy of the store is turned; verify must name the block, and reading must refuse it."""
        broken = self._folder / "broken"
        shutil.copytree(self._folder / "store", broken)
        pack, place = _turn_a_bit(broken / "packs")
        self.say(f"turned one bit of byte {place:,} of {pack}")
        with Store(broken) as store:
            report, seconds = timed(store.verify)
            _check(not report.ok and len(report.damaged) == 1, "verify did not find the one damaged block")
            victim = report.damaged[0].cid
            if victim is None:
                raise Damaged("the demo failed: verify could not name the damaged block: please report this")
            self.say(f"verify found it: block {victim} does not match its hash")
            self._refused(store, victim)
        hurt = [str(cid) for cid in report.roots]
        _check(bool(hurt), "verify did not say what the damage hurts")
        self.say(f"and it says what that hurts: the {' and the '.join(names[cid] for cid in hurt)}")
        self._row("verify the store", report.bytes, seconds, self._hashing(report.bytes))
        self.record["damage"] = {"pack": pack, "offset": place, "found": str(victim), "hurt": hurt}
        shutil.rmtree(broken)

    def _refused(self, store: Store, victim: CID) -> None:
        try:
            store.get_block(victim)
        except Damaged as error:
            self.say(f"reading it is refused: {printable_line(str(error))}")
        else:
            raise Damaged("the demo failed: a damaged block was read without an error: please report this")


def _turn_a_bit(packs: Path) -> tuple[str, int]:
    """Turns a bit in the middle of the largest pack; its name, and which byte."""
    pack = max(packs.glob("*.car"), key=lambda file: file.stat().st_size)
    place = pack.stat().st_size // 2
    with pack.open("rb+") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 1]))
    return pack.name, place


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Damaged(f"the demo failed: {otherwise}: please report this")


def _same(left: Path, right: Path) -> bool:
    """Whether two files, links or trees have the same names and bytes."""
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in (left, right)}
    if len(kinds) != 1:
        return False
    if left.is_symlink():
        return left.readlink() == right.readlink()
    if left.is_dir():
        names = sorted(os.listdir(left))
        return names == sorted(os.listdir(right)) and all(_same(left / name, right / name) for name in names)
    return _same_bytes(left, right)


def _same_bytes(left: Path, right: Path) -> bool:
    with left.open("rb") as one, right.open("rb") as other:
        while True:
            pieces = one.read(_COMPARE_BYTES), other.read(_COMPARE_BYTES)
            if pieces[0] != pieces[1]:
                return False
            if not pieces[0]:
                return True
