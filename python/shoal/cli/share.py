"""`shoal share`: a file, a folder or a CID for whoever has its ticket, for as long as the command runs.

The one rule: only what is shared can be fetched, and the ticket is printed when it can be.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.command import command, progress_option
from shoal.cli.output import human_bytes, printable
from shoal.cli.progress import shown
from shoal.cli.reach import mdns_option
from shoal.cli.session import Session, pass_session
from shoal.cli.transfer import PeerWords
from shoal.errors import InvalidCID, NodeNotRunning

if TYPE_CHECKING:
    from shoal import CID, Node


@command(
    "share",
    examples=[
        "shoal share ./photos                                        # prints a ticket; Ctrl-C ends it",
        "shoal share --listen /ip4/127.0.0.1/tcp/0 --json ./photos   # for programs, on this machine alone",
    ],
)
@click.argument("content", metavar="PATH|CID")
@click.option(
    "--listen",
    multiple=True,
    metavar="ADDR",
    help="Where to listen (default: every network of this machine, at free ports). /ip4/127.0.0.1/tcp/0 is this machine alone. "
    "Repeatable.",
)
@click.option("--pin/--no-pin", default=None, help="Keep what is added safe from gc (default: yes).")
@click.option("--profile", metavar="NAME", help="Named rules for what is added, as for 'shoal add'.")
@click.option("--bwlimit", metavar="RATE", help="Most bytes to send a second, as 2MB or 500KiB.")
@mdns_option
@progress_option()
@pass_session
def share(
    session: Session,
    content: str,
    listen: tuple[str, ...],
    pin: bool | None,
    profile: str | None,
    bwlimit: str | None,
    mdns: bool | None,
    progress: bool | None,
) -> None:
    """Let others fetch a file or folder by its ticket.

    A PATH is added to the store first. Nothing else of the store can be fetched, and only while this runs: Ctrl-C ends it, with exit
    code 0. Whoever has the ticket can fetch, and whoever knows the CID and reaches the address can too.

    With --json: a line with ticket, cid, id and addrs as soon as it can be fetched, then a line for everything that happens.
    """
    from shoal.cli.reach import ask, finders, rate, run_until_stopped
    from shoal.control.verbs import VERBS

    limit = rate(bwlimit)
    root = _root(session, content, pin, profile, progress)
    arguments = {"cid": str(root.cid), "name": root.name, "bytes": root.bytes, "listen": list(listen)}
    words = _Words(session, root)

    async def work(node: Node) -> None:
        await VERBS["share"](node, arguments, words)

    try:
        _until_interrupted(lambda: ask(session, "share", arguments, words))
    except NodeNotRunning:
        run_until_stopped(session, work, bytes_per_second=limit, discoveries=finders(session, mdns))
    words.close()


def _until_interrupted(work: Any) -> None:
    try:
        work()
    except KeyboardInterrupt:
        return


@dataclass(frozen=True)
class _Root:
    """What is shared, and what to call it."""

    cid: CID
    name: str | None
    bytes: int | None
    about: str


def _root(session: Session, content: str, pin: bool | None, profile: str | None, progress: bool | None) -> _Root:
    from shoal import CID

    if not os.path.lexists(content):
        try:
            CID(content.removeprefix("ipfs://").removeprefix("/ipfs/").partition("/")[0])
        except InvalidCID:
            raise click.UsageError(f"{printable(content)} is no file here, and no CID") from None
        store = session.store()
        entry = store.stat_path(content)
        name = content.rstrip("/").rpartition("/")[2]
        size = entry.size
        return _Root(entry.cid, None if name == str(entry.cid) else name, size, "")
    store = session.store(read_only=False, create=True)
    pinned = bool(session.settings["add.pin"] if pin is None else pin)
    chosen = profile or session.settings.text("add.profile")
    with shown("adding", session.output, session.progress(progress)) as on_progress:
        added = store.add(content, profile=chosen, pin=pinned, progress=on_progress)
    name = added.name or Path(content).resolve().name
    files = "1 file" if added.files == 1 else f"{added.files:,} files"
    return _Root(added.cid, name, added.bytes, f"{files}, {human_bytes(added.bytes)}")


class _Words:
    """Says what happens: the ticket on stdout, who comes and goes on stderr; everything on stdout as JSON for programs."""

    def __init__(self, session: Session, root: _Root) -> None:
        self._output = session.output
        self._root = root
        self._peers = PeerWords()

    def __call__(self, event: dict[str, Any]) -> None:
        if self._output.json:
            if event["event"] == "ready":
                event = event | {"name": self._root.name, "bytes": self._root.bytes}
            self._output.result(event)
            sys.stdout.flush()
        elif event["event"] == "ready":
            self._print_ticket(event["ticket"])
        else:
            self._peers(event)

    def close(self) -> None:
        """Leaves the terminal with a whole line."""
        self._peers.clear()

    def _print_ticket(self, ticket: str) -> None:
        name = printable(self._root.name or str(self._root.cid))
        about = f" ({self._root.about})" if self._root.about else ""
        self._output.lines(
            [
                f"sharing {name}{about} as {self._root.cid}",
                "",
                *self._code(ticket),
                "On the other machine, while this runs (Ctrl-C ends it):",
            ]
        )
        self._output.lines(["", f"  shoal get {ticket}", ""])
        sys.stdout.flush()

    def _code(self, ticket: str) -> list[str]:
        """The ticket as a QR code, where there is a terminal wide enough to show it."""
        if not sys.stdout.isatty():
            return []
        from shoal.discovery.ticket import Ticket
        from shoal.discovery.ticket_qr import ticket_qr

        code = ticket_qr(Ticket.parse(ticket), shutil.get_terminal_size().columns)
        return [] if code is None else [*code.splitlines(), ""]
