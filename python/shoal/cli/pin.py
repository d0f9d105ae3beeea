"""`shoal pin`: what gc must keep.

The one rule: a CID is never reported as pinned when it is only part of something that is; that is `indirect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from shoal.cli.command import Family
from shoal.cli.output import printable
from shoal.cli.session import Session, pass_session
from shoal.errors import NotPinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import CID, Store

_KINDS = ("all", "recursive", "direct", "indirect")


@click.group("pin", cls=Family)
def pin() -> None:
    """Say what gc must keep."""


@pin.command(
    "add",
    examples=[
        'shoal pin add "$(shoal add -Q --no-pin photos)"',
        'shoal pin add --name holiday "$(shoal add -Q photos)"',
    ],
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option(
    "-r", "--recursive/--direct", default=True, help="Keep everything below it (default), or this block alone."
)
@click.option("-n", "--name", help="A name for the pin.")
@pass_session
def add(session: Session, contents: tuple[str, ...], recursive: bool, name: str | None) -> None:
    """Keep DAGs safe from gc."""
    store = session.store(read_only=False)
    kind = "recursive" if recursive else "direct"
    for content in contents:
        cid = store.pins.add(content, recursive=recursive, name=name)
        session.output.result(
            {"cid": str(cid), "kind": kind, "name": name}, f"pinned {cid} {'recursively' if recursive else 'directly'}"
        )


@pin.command(
    "rm",
    examples=['shoal pin rm "$(shoal add -Q notes.txt)"', 'shoal pin rm --json "$(shoal add -Q photos)"'],
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@click.option("-r", "--recursive/--direct", default=None, help="Only if it is pinned that way.")
@pass_session
def rm(session: Session, contents: tuple[str, ...], recursive: bool | None) -> None:
    """Let gc collect what nothing else keeps."""
    store = session.store(read_only=False)
    for content in contents:
        cid, _ = store.resolve(content)
        kinds = [found.kind for found in store.pins.ls(cid=cid)]
        wanted = None if recursive is None else "recursive" if recursive else "direct"
        if wanted is not None and kinds and wanted not in kinds:
            raise NotPinned(f"{cid} is pinned {kinds[0]}, not {wanted}: leave out the option", cid=cid)
        store.pins.rm(cid)
        session.output.result({"cid": str(cid)}, f"unpinned {cid}")


@pin.command(
    "ls",
    examples=[
        "shoal pin ls --type recursive --names      # what was pinned, quick",
        'shoal pin ls "$(shoal add -Q photos)"      # is this pinned?',
    ],
)
@click.argument("contents", nargs=-1, metavar="[CID[/PATH]]...")
@click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice(_KINDS),
    default="all",
    help="Which pins; indirect means below a recursive one.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only CIDs.")
@click.option("-n", "--name", metavar="PART", help="Only pins whose name contains PART.")
@click.option("--names", is_flag=True, help="Print names too.")
@click.option(
    "-s",
    "--stream",
    is_flag=True,
    expose_value=False,
    help="Accepted for ipfs users: pins are always printed as they are found.",
)
@pass_session
def ls(session: Session, contents: tuple[str, ...], kind: str, quiet: bool, name: str | None, names: bool) -> None:
    """List pins, or say how the given CIDs are pinned."""
    store = session.store()
    found = _of(store, contents, kind) if contents else _all(store, kind)
    for entry, through in found:
        if name is not None and name not in (entry.name or ""):
            continue
        words = [str(entry.cid)]
        if not quiet:
            words.append(entry.kind if through is None or not contents else f"indirect through {through}")
            if (names or name is not None) and entry.name:
                words.append(printable(entry.name))
        record = {"cid": str(entry.cid), "kind": entry.kind, "name": entry.name}
        session.output.result(record | ({"through": str(through)} if through is not None else {}), " ".join(words))


@dataclass(frozen=True)
class _Kept:
    """A block that is kept: by a pin of its own, or as `indirect` by one above it."""

    cid: CID
    kind: str
    name: str | None


def _all(store: Store, kind: str) -> Iterator[tuple[_Kept, CID | None]]:
    """Every pin of that kind; an indirect one comes with the root that keeps it."""
    if kind != "indirect":
        for entry in store.pins.ls(kind=None if kind == "all" else kind):
            yield _Kept(entry.cid, entry.kind, entry.name), None
    if kind not in ("all", "indirect"):
        return
    seen = {entry.cid for entry in store.pins.ls()}
    for root in store.pins.ls(kind="recursive"):
        for _, target, _ in store.refs(root.cid, recursive=True, unique=True):
            if target not in seen:
                seen.add(target)
                yield _Kept(target, "indirect", None), root.cid


def _of(store: Store, contents: tuple[str, ...], kind: str) -> Iterator[tuple[_Kept, CID | None]]:
    for content in contents:
        cid, _ = store.resolve(content)
        entries = [
            (_Kept(entry.cid, entry.kind, entry.name), None)
            for entry in store.pins.ls(cid=cid)
            if kind in ("all", entry.kind)
        ]
        if entries:
            yield from entries
        elif kind in ("all", "indirect") and (through := _keeper(store, cid)) is not None:
            yield _Kept(cid, "indirect", None), through
        else:
            raise NotPinned(
                f"{cid} is not pinned" + ("" if kind == "all" else f" as {kind}") + ": 'shoal pin ls' shows what is",
                cid=cid,
            )


def _keeper(store: Store, cid: CID) -> CID | None:
    """The first recursive pin that has this block below it."""
    for root in store.pins.ls(kind="recursive"):
        if any(target == cid for _, target, _ in store.refs(root.cid, recursive=True, unique=True)):
            return root.cid
    return None
