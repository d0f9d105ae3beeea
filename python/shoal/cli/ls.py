"""`shoal ls`: what is in a directory, in the columns of `ipfs ls`.

The one rule: a line says nothing that was not looked up; what is not known is `-`.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
import time
from typing import TYPE_CHECKING

import click

from shoal.cli.command import command
from shoal.cli.output import columns, plain, printable
from shoal.cli.session import Session, pass_session
from shoal.errors import NotADirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shoal import Entry, Store

# The column width for sizes when lines are printed before all are known.
_STREAM_SIZE_WIDTH = 10
_HALF_A_YEAR_SECONDS = 182 * 86_400
_TYPE_BITS = {"directory": stat.S_IFDIR, "symlink": stat.S_IFLNK}


@command(
    "ls",
    examples=[
        'shoal ls "$(shoal add -Q photos)"',
        'shoal ls --long --headers "$(shoal add -Q --preserve-mode --preserve-mtime photos)"',
        'shoal ls --json "$(shoal add -Q photos)"      # one object per entry',
    ],
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option("-v", "--headers", is_flag=True, help="Print a line of column names.")
@click.option(
    "-l",
    "--long",
    "long_format",
    is_flag=True,
    help="Show permissions and modification time, where they were recorded.",
)
@click.option("--size/--no-size", default=True, help="Show sizes (default: yes).")
@click.option(
    "--resolve-type/--no-resolve-type", default=True, help="Look up which entries are directories (default: yes)."
)
@click.option("-R", "--recursive", is_flag=True, help="List directories below as well, by their paths.")
@click.option("-s", "--stream", is_flag=True, help="Print entries as they are found, without aligning them.")
@pass_session
def ls(
    session: Session,
    contents: tuple[str, ...],
    headers: bool,
    long_format: bool,
    size: bool,
    resolve_type: bool,
    recursive: bool,
    stream: bool,
) -> None:
    """List directories: CID, size and name of each entry.

    Names of directories end in /. A size of - was not looked up, or is a directory's.
    """
    store = session.store()
    names = _headings(long_format=long_format, size=size) if headers else None
    for number, content in enumerate(contents):
        entries = _entries(store, content, recursive=recursive, resolve=size or resolve_type or recursive)
        if not (stream or recursive or session.json):
            # Sharded directories are kept in the order of their names' hashes.
            entries = iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))
        if session.json:
            for entry in entries:
                session.output.result({"root": content, **plain(entry)})
            continue
        if len(contents) > 1:
            session.output.lines(([""] if number else []) + [f"{printable(content)}:"])
        rows = (_row(session, entry, long_format=long_format, size=size) for entry in entries)
        _print_rows(session, rows, names, stream=stream)


def _entries(store: Store, content: str, *, recursive: bool, resolve: bool) -> Iterator[Entry]:
    """The entries of a directory; of a file, as in `ipfs ls`, the parts that it links to, which have no names."""
    try:
        yield from store.ls(content, recursive=recursive, resolve=resolve)
    except NotADirectory:
        for _, cid, _ in store.refs(content):
            yield store.stat_path(cid)


def _size(entry: Entry) -> str:
    """Bytes of content; of a symbolic link, those of its target."""
    if entry.size is not None:
        return str(entry.size)
    return "-" if entry.target is None else str(len(os.fsencode(entry.target)))


def _headings(*, long_format: bool, size: bool) -> list[str]:
    return (
        (["Mode"] if long_format else [])
        + ["Hash"]
        + (["Size"] if size else [])
        + (["ModTime"] if long_format else [])
        + ["Name"]
    )


def _row(session: Session, entry: Entry, *, long_format: bool, size: bool) -> list[str]:
    directory = entry.kind == "directory"
    name = printable(entry.path or entry.name)
    row = [_permissions(entry)] if long_format else []
    row.append(str(entry.cid))
    if size:
        row.append("-" if directory else _size(entry))
    if long_format:
        row.append(_when(entry.mtime))
    row.append(session.output.styled(name, "1;34") + "/" if directory else name)
    return row


def _print_rows(session: Session, rows: Iterable[list[str]], names: list[str] | None, *, stream: bool) -> None:
    if not stream:
        session.output.lines(columns([*([names] if names else []), *rows]))
        return
    if names:
        session.output.line(" ".join(names))
    for row in rows:
        session.output.line(" ".join([*(cell.ljust(_STREAM_SIZE_WIDTH) for cell in row[:-1]), row[-1]]))


def _permissions(entry: Entry) -> str:
    """`-rw-r--r--` and the like, or `-` where no mode was recorded."""
    return (
        "-"
        if not entry.mode
        else stat.filemode(_TYPE_BITS.get(entry.kind, 0) | stat.S_IMODE(entry.mode)).replace("?", "-", 1)
    )


def _when(mtime: float | None) -> str:
    """A time as `ls -l` prints it, in UTC: with the hour for the last half year, else with the year."""
    if mtime is None:
        return "-"
    try:
        moment = dt.datetime.fromtimestamp(mtime, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return "-"
    now = time.time()
    recent = now - _HALF_A_YEAR_SECONDS < mtime < now + 86_400
    return moment.strftime("%b %d %H:%M" if recent else "%b %d  %Y")
