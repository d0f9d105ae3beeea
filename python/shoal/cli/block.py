"""`shoal block`: single blocks in and out, below files and directories.

The one rule: bytes are stored as they came and printed as they are stored.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli.command import Family
from shoal.cli.ending import FAILED, NOT_FOUND, OK
from shoal.cli.output import cid_record, printable, printable_line
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import standard_input, standard_output
from shoal.errors import InvalidInput, NotFound, ShoalError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the store takes as one block; reading one byte more tells a block from a file.
_BLOCK_BYTES_MAX = 2 << 20


def inputs(paths: tuple[str, ...], what: str) -> Iterator[bytes]:
    """The content of each path, `-` or none being stdin; InvalidInput for what is too large to be one block."""
    for path in paths or ("-",):
        if path == "-":
            data = standard_input().read(_BLOCK_BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as opened:
                data = opened.read(_BLOCK_BYTES_MAX + 1)
        if len(data) > _BLOCK_BYTES_MAX:
            raise InvalidInput(f"{what} is larger than 2 MiB: {printable(path)}: use 'shoal add' for files of any size")
        yield data


@click.group("block", cls=Family)
def block() -> None:
    """Put, get, stat and remove single blocks."""


@block.command(
    "put",
    examples=[
        "shoal block put notes.txt",
        "printf hello | shoal block put --mhtype sha2-256",
    ],
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option("--cid-codec", default="raw", metavar="NAME", help="What the CID says the bytes are (default: raw).")
@click.option(
    "--mhtype", "--hash", "hash_name", default="blake3", metavar="NAME", help="Hash function (default: blake3)."
)
@click.option("--pin/--no-pin", default=False, help="Pin each block recursively (default: no).")
@pass_session
def put(session: Session, paths: tuple[str, ...], cid_codec: str, hash_name: str, pin: bool) -> None:
    """Store each file, or stdin, as one block and print its CID."""
    store = session.store(read_only=False, create=True)
    for data in inputs(paths, "a block"):
        cid = store.put(data, codec=cid_codec, hash=hash_name, pin=pin)
        session.output.result(cid_record(cid, bytes=len(data)), str(cid))


@block.command(
    "get",
    examples=[
        'shoal block get "$(shoal block put notes.txt)"',
        'shoal block get "$(shoal add -Q photos)" | wc -c      # the directory node itself',
    ],
)
@click.argument("content", metavar="CID[/PATH]")
@pass_session
def get(session: Session, content: str) -> None:
    """Print the bytes of one block. With --json they are in base64."""
    store = session.store()
    cid, _ = store.resolve(content)
    found = store.get_block(cid)
    if session.json:
        data = bytes(found)
        session.output.result(cid_record(cid, bytes=len(data), base64=base64.b64encode(data).decode()))
        return
    standard_output()
    sys.stdout.buffer.write(found)
    sys.stdout.buffer.flush()


@block.command(
    "stat",
    examples=['shoal block stat "$(shoal add -Q notes.txt)"', 'shoal block stat --json "$(shoal add -Q photos)"'],
)
@click.argument("content", metavar="CID[/PATH]")
@pass_session
def stat(session: Session, content: str) -> None:
    """Print a block's CID and its size in bytes."""
    store = session.store()
    cid, _ = store.resolve(content)
    size = store.size(cid)
    session.output.result(cid_record(cid, bytes=size), f"Key: {cid}", f"Size: {size}")


@block.command(
    "rm",
    examples=[
        'shoal block rm "$(shoal block put notes.txt)"',
        'shoal block rm --force "$(shoal add -nQ notes.txt)"     # no matter whether it is there',
    ],
)
@click.argument("cids", nargs=-1, required=True, metavar="CID...")
@click.option("-f", "--force", is_flag=True, help="Do not mind blocks that are not there.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing for blocks that were removed.")
@pass_session
def rm(session: Session, cids: tuple[str, ...], force: bool, quiet: bool) -> int:
    """Remove blocks. Pinned ones are kept: unpin them first."""
    from shoal import CID

    store = session.store(read_only=False)
    worst = OK
    for cid in [CID(text) for text in cids]:
        try:
            if not store.delete(cid) and not force:
                raise NotFound(f"there is no such block: {cid}: --force does not mind", cid=cid)
        except ShoalError as error:
            click.echo(f"cannot remove {cid}: {printable_line(str(error))}", err=True)
            session.output.result(cid_record(cid, removed=False, error=str(error))) if session.json else None
            worst = error.exit_code if worst in (OK, error.exit_code) else FAILED
            continue
        if session.json or not quiet:
            session.output.result(cid_record(cid, removed=True), f"removed {cid}")
    if worst != OK:
        message = "not there" if worst == NOT_FOUND else "not removed"
        click.echo(f"shoal: some blocks were {message}", err=True)
    return worst
