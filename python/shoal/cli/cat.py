"""`shoal cat`: the bytes of files on stdout, every one checked before it is written.

The one rule: bytes go from the store to the descriptor; they do not pass through Python unless JSON is asked for.
"""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

import click

from shoal.cli.command import command, progress_option
from shoal.cli.progress import shown
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import standard_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import Store


@command(
    "cat",
    examples=[
        'shoal cat "$(shoal add -Q notes.txt)"',
        'shoal cat "$(shoal add -Q photos)/sea.txt"                        # a file below a directory',
        'shoal cat --offset 6 --length 5 "$(shoal add -Q notes.txt)"       # a part: only that is read and checked',
    ],
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option(
    "-o",
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="First byte to print, counted from 0 over all files.",
)
@click.option("-l", "--length", type=click.IntRange(min=0), metavar="N", help="Most bytes to print.")
@progress_option()
@pass_session
def cat(session: Session, contents: tuple[str, ...], offset: int, length: int | None, progress: bool | None) -> None:
    """Print the bytes of files, one after the other.

    With --json the bytes are in base64, a piece per line.
    """
    store = session.store()
    # A bar between the lines of a text that scrolls by on the same terminal helps nobody.
    wanted = session.progress(progress) or (False if sys.stdout.isatty() else progress)
    with shown("reading", session.output, wanted) as on_progress:
        for content, start, most in _parts(store, contents, offset, length):
            if session.json:
                _print_pieces(session, content, start, most)
            else:
                store.cat(content, standard_output(), offset=start, length=most, progress=on_progress)


def _parts(
    store: Store, contents: tuple[str, ...], offset: int, length: int | None
) -> Iterator[tuple[str, int, int | None]]:
    """Each file with the range of it to print, where offset and length count over all files as one."""
    if len(contents) == 1:
        yield contents[0], offset, length
        return
    for content in contents:
        if length == 0:
            return
        size = store.open(content).size
        if offset >= size > 0:
            offset -= size
            continue
        yield content, offset, length
        if length is not None:
            length -= min(length, size - offset)
        offset = 0


def _print_pieces(session: Session, content: str, offset: int, length: int | None) -> None:
    pieces = session.store().cat(content, offset=offset, length=length)
    for piece in () if isinstance(pieces, int) else pieces:
        data = bytes(piece)
        session.output.result(
            {"path": content, "offset": offset, "bytes": len(data), "base64": base64.b64encode(data).decode()}
        )
        offset += len(data)
