"""`shoal blob`: parts of whole files, out and in, each with what proves it.

The one rule: ranges are written OFFSET+LENGTH or OFFSET-, in bytes, and mean the same going out and coming in.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from shoal import CID
from shoal.cli.command import Family
from shoal.cli.output import cid_record, human_bytes
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import standard_input, standard_output
from shoal.errors import NotFound

if TYPE_CHECKING:
    from shoal import Presence

_RANGE = re.compile(r"(\d+)(?:\+(\d+)|-)")
_TO_THE_END = (1 << 63) - 1


def _ranges(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[int, int]] | None:
    ranges = []
    for value in values:
        found = _RANGE.fullmatch(value)
        offset = int(found[1]) if found else _TO_THE_END + 1
        length = _TO_THE_END if not found or found[2] is None else int(found[2])
        if max(offset, length) > _TO_THE_END:
            raise click.BadParameter("a range is OFFSET+LENGTH or OFFSET-, in bytes, such as 0+4096", param=parameter)
        ranges.append((offset, length))
    return ranges or None


_range_option = click.option(
    "--range",
    "ranges",
    multiple=True,
    callback=_ranges,
    metavar="OFFSET+LENGTH",
    help="Only the 16 KiB groups that have bytes of this range; OFFSET- to the end. Repeatable.",
)


@click.group("blob", cls=Family)
def blob() -> None:
    """Give and take parts of whole files, with what proves them."""


@blob.command(
    "export",
    examples=[
        'shoal blob export "$(shoal add -Q --layout blob photos/sea.txt)" > sea.slice',
        'shoal blob export --range 0+4096 "$(shoal add -Q --layout blob photos/sea.txt)" -o sea.slice',
        'shoal blob export --outboard "$(shoal add -Q --layout blob photos/sea.txt)" -o sea.obao4',
    ],
)
@click.argument("cid")
@click.option("-o", "--output", "target", type=click.Path(), default="-", help="Where to (default: stdout).")
@_range_option
@click.option("--outboard", is_flag=True, help="All nodes of the tree without the data, instead of a slice.")
@pass_session
def export(session: Session, cid: str, target: str, ranges: list[tuple[int, int]] | None, outboard: bool) -> None:
    """Write a slice: groups of a blob, or of any BLAKE3 block, and what proves them.

    What iroh sends, byte for byte. A blob of which only a part is here gives the ranges that it has.
    """
    if outboard and ranges is not None:
        raise click.UsageError("an outboard has all nodes: leave out --range")
    api = session.store().blob
    out: str | int = target
    if target == "-":
        standard_output()
        sys.stdout.flush()
        out = sys.stdout.buffer.fileno()
    written = api.export_outboard(cid, out) if outboard else api.export_slice(cid, out, ranges)
    if target != "-":
        session.output.result({"path": target, "bytes": written}, f"wrote {human_bytes(written)}")


@blob.command(
    "import",
    examples=[
        'cid=$(shoal add -Q --layout blob photos/sea.txt); shoal blob export "$cid" | shoal --store other blob import "$cid"',
        'cid=$(shoal add -Q --layout blob notes.txt); shoal blob export "$cid" | shoal blob import --no-pin "$cid" -',
    ],
)
@click.argument("cid")
@click.argument("path", type=click.Path(), default="-")
@_range_option
@click.option("--pin/--no-pin", default=True, help="Pin the blob when all of it is here (default: yes).")
@pass_session
def import_(session: Session, cid: str, path: str, ranges: list[tuple[int, int]] | None, pin: bool) -> None:
    """Take in a slice from a file or stdin; --range as it was when the slice was made.

    Each group is checked and kept, and can be read at once. The blob is an ordinary one when the last has come.
    """
    store = session.store(read_only=False, create=True)
    source = standard_input() if path == "-" else path
    _print(session, cid, store.blob.import_slice(cid, source, ranges, pin=pin))


@blob.command(
    "present",
    examples=[
        'shoal blob present "$(shoal add -Q --layout blob photos/sea.txt)"',
        'shoal blob present --json "$(shoal add -Q --layout blob photos/sea.txt)"',
    ],
)
@click.argument("cid")
@pass_session
def present(session: Session, cid: str) -> None:
    """Print how much of a blob is here, and which ranges of bytes."""
    found = session.store().blob.present(cid)
    if found is None:
        message = f"nothing of it is here: {cid}: import a slice, or add the file"
        raise NotFound(message)
    _print(session, cid, found)


@blob.command(
    "discard",
    examples=[
        'shoal blob discard --force "$(shoal add -nQ --layout blob photos/sea.txt)"     # no matter whether it is there',
        'shoal blob discard --force --json "$(shoal add -nQ --layout blob photos/sea.txt)"',
    ],
)
@click.argument("cid")
@click.option("-f", "--force", is_flag=True, help="Do not mind when no part of it is here.")
@pass_session
def discard(session: Session, cid: str, force: bool) -> None:
    """Remove what is here of a blob that is not whole."""
    was_here = session.store(read_only=False).blob.discard(cid)
    if not was_here and not force:
        message = f"no part of it is here: {cid}: whole blobs go with 'shoal block rm'"
        raise NotFound(message)
    session.output.result(cid_record(CID(cid), discarded=was_here), *([f"discarded {cid}"] if was_here else []))


def _print(session: Session, cid: str, found: Presence) -> None:
    record = cid_record(CID(cid), bytes=found.bytes, present_bytes=found.present_bytes, whole=found.whole)
    lines = [f"{found.present_bytes} of {found.bytes} bytes are here"]
    lines += [f"{offset}+{length}" for offset, length in found.ranges] if not found.whole else []
    session.output.result(record | {"ranges": found.ranges}, *lines)
