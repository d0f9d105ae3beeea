"""`shoal get`: content out of the store into files and directories, every byte checked on the way; what is not there is fetched.

Not here: what keeps an export inside its target, and whole or absent under its name; the store does that.
The one rule: nothing that exists is replaced without `--force`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.command import command, progress_option
from shoal.cli.output import plain, printable
from shoal.cli.progress import shown
from shoal.cli.reach import mdns_option
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import standard_output
from shoal.cli.wanted import Wanted
from shoal.errors import ExportError, Incomplete, NotFound

if TYPE_CHECKING:
    from shoal import Store

_NOBODY_TO_ASK = ", and there is nobody to ask for it: give the ticket that `shoal share` prints where it is, or an address with --peer"


@command(
    "get",
    examples=[
        'shoal get "$(shoal add -Q photos)" -o copy            # a directory, under a name of your choice',
        'shoal get "$(shoal add -Q photos)/sea.txt"            # one file out of it, as ./sea.txt',
        'shoal get "$(shoal add -Q photos)" -o copy --force    # over what is there',
    ],
)
@click.argument("what", metavar="CID[/PATH]|URI|TICKET")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    metavar="PATH",
    help="Where to write: a new name, a directory to put a file into, or - for stdout.",
)
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="ADDR",
    help="Ask this peer too: /ip4/192.0.2.1/tcp/4001/p2p/ID, the id if it is known. Repeatable.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Give up after S seconds (default: when nothing has come for 30).",
)
@click.option("--bwlimit", metavar="RATE", help="Most bytes to receive a second, as 2MB or 500KiB.")
@click.option("--pin", is_flag=True, help="Keep what was fetched safe from gc.")
@mdns_option
@progress_option()
@pass_session
def get(
    session: Session,
    what: str,
    target: str | None,
    force: bool,
    peers: tuple[str, ...],
    timeout: float | None,
    bwlimit: str | None,
    pin: bool,
    mdns: bool | None,
    progress: bool | None,
) -> None:
    """Write a file or directory to disk, fetching what is not in the store.

    It is named by CID, path, ipfs:// URI, or by the ticket that 'shoal share' prints on another machine; without -o it is called what
    the last part of the path or the ticket says, or else by its CID.

    A ticket and --peer say whom to ask; nodes that are found on the local network are asked too. With a bare CID that is not here, they
    are asked only where a node of this store runs already, or with --mdns.

    Stopped in the middle, the same command goes on where it was. The target appears when it is whole, never before.
    """
    wanted = Wanted.parse(what)
    addresses = (*wanted.addresses, *peers)
    fetched = None
    if not _is_here(session, wanted, can_ask=bool(addresses) or mdns is True):
        _refuse_taken(wanted, target, force)
        fetched = _fetch(
            session, wanted, addresses, timeout=timeout, bwlimit=bwlimit, pin=pin, mdns=mdns, progress=progress
        )
    elif pin:
        session.close()
        session.store(read_only=False).pins.add(wanted.content)
    _write(session, wanted, target, force, progress, fetched)


def _write(
    session: Session,
    wanted: Wanted,
    target: str | None,
    force: bool,
    progress: bool | None,
    fetched: dict[str, Any] | None,
) -> None:
    store = session.store()
    with shown("reading", session.output, session.progress(progress)) as on_progress:
        if target == "-":
            store.cat(wanted.content, standard_output(), progress=on_progress)
            return
        place = _place(session, wanted, target)
        exported = store.get(wanted.content, place, force=force, progress=on_progress)
    record = plain(exported) | ({"fetched": fetched} if fetched is not None else {})
    session.output.result(record, f"Saving file(s) to {printable(os.fsdecode(place))}")


def _is_here(session: Session, wanted: Wanted, *, can_ask: bool) -> bool:
    """Whether all of it is in the store already. Where nobody could be asked for the rest, what lacks is raised."""
    if not session.has_store:
        if can_ask or _node_runs(session):
            return False
        # The error that says so.
        session.store()
    try:
        _walk(session.store(), wanted.content)
    except (NotFound, Incomplete) as error:
        if can_ask or _node_runs(session):
            session.close()
            return False
        error.message += _NOBODY_TO_ASK
        raise
    return True


def _walk(store: Store, content: str) -> None:
    """Raises `NotFound` or `Incomplete` where a block lacks under content. Leaves are looked up and not read."""
    cid, _ = store.resolve(content)
    if cid.codec == "raw":
        store.size(cid)
        return
    store.dag.stat(cid)


def _node_runs(session: Session) -> bool:
    from shoal.control.client import is_running

    return is_running(session.settings.folder)


def _fetch(
    session: Session,
    wanted: Wanted,
    addresses: tuple[str, ...],
    *,
    timeout: float | None,
    bwlimit: str | None,
    pin: bool,
    mdns: bool | None,
    progress: bool | None,
) -> dict[str, Any]:
    """Brings it into the store; what came, and from whom."""
    from shoal.cli.reach import ask_any, finders, rate
    from shoal.cli.transfer import FetchWords

    arguments = {
        "content": wanted.content,
        "peers": list(addresses),
        "pin": pin,
        "timeout": timeout,
        "bytes_total": wanted.bytes_total,
    }
    limit = rate(bwlimit)
    with shown("fetching", session.output, session.progress(progress)) as on_progress:
        hear = FetchWords(on_progress, wanted.content)
        fetched: dict[str, Any] = ask_any(
            session, "fetch", arguments, hear, bytes_per_second=limit, discoveries=finders(session, mdns)
        )
    return fetched


def _refuse_taken(wanted: Wanted, target: str | None, force: bool) -> None:
    """Before anything is fetched: a name that is taken and may not be replaced. A directory may be one to put a file into."""
    place = Path(target if target is not None else wanted.name)
    if target == "-" or force or not os.path.lexists(place) or (target is not None and place.is_dir()):
        return
    raise ExportError(f"{printable(str(place))} exists: use --force to replace it, or -o to choose another name")


def _place(session: Session, wanted: Wanted, target: str | None) -> str:
    """Where the content goes: like `cp`, a file that is told to go to a directory goes into it."""
    if target is None:
        return wanted.name
    if Path(target).is_dir() and session.store().stat_path(wanted.content).kind != "directory":
        return os.path.join(target, wanted.name)
    return target
