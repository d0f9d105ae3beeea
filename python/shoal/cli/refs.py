"""`shoal refs`: which blocks a DAG links to, one a line.

The one rule: lines are printed as links are met; nothing is collected except what `--unique` has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoal.cli.command import command
from shoal.cli.output import printable
from shoal.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import CID, Store


@command(
    "refs",
    examples=[
        'shoal refs "$(shoal add -Q photos)"                                      # links of one node',
        'shoal refs -r -u "$(shoal add -Q photos)"                                # every block below it, once',
        "shoal refs --format '<src> <linkname> <dst>' \"$(shoal add -Q photos)\"",
    ],
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option(
    "--format", "form", metavar="TEXT", help="Print this for each link, with <src>, <dst> and <linkname> filled in."
)
@click.option("-e", "--edges", is_flag=True, help="Print 'SRC -> DST'.")
@click.option("-u", "--unique", is_flag=True, help="Print each target once.")
@click.option("-r", "--recursive", is_flag=True, help="Follow the links.")
@click.option(
    "--max-depth",
    type=click.IntRange(min=-1),
    default=-1,
    metavar="N",
    help="How many levels to follow with -r; -1 for all.",
)
@pass_session
def refs(
    session: Session,
    contents: tuple[str, ...],
    form: str | None,
    edges: bool,
    unique: bool,
    recursive: bool,
    max_depth: int,
) -> None:
    """List the links of a DAG. 'shoal refs local' lists every block of the store."""
    if edges and form is not None:
        raise click.UsageError("--edges is a format: leave out one of --edges and --format")
    store = session.store()
    if contents == ("local",):
        for cid in store.refs_local():
            session.output.result({"cid": str(cid)}, str(cid))
        return
    form = "<src> -> <dst>" if edges else form or "<dst>"
    for source, target, name in _links(store, contents, unique, recursive, max_depth):
        line = _filled(form, source, target, name)
        session.output.result({"source": str(source), "cid": str(target), "name": name}, line)


def _links(
    store: Store, contents: tuple[str, ...], unique: bool, recursive: bool, max_depth: int
) -> Iterator[tuple[CID, CID, str]]:
    seen: set[CID] = set()
    depth = None if max_depth < 0 or not recursive else max_depth
    for content in contents:
        for source, target, name in store.refs(content, recursive=recursive, unique=unique, depth_max=depth):
            # The store knows what it has met below one argument; several arguments share what they have in common.
            if unique and len(contents) > 1:
                if target in seen:
                    continue
                seen.add(target)
            yield source, target, name


def _filled(form: str, source: CID, target: CID, name: str) -> str:
    # The name last: it may itself contain the other words.
    return form.replace("<src>", str(source)).replace("<dst>", str(target)).replace("<linkname>", printable(name))
