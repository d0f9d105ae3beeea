"""`shoal node`: a node that runs until it is stopped, and that other commands on the same store reach.

The one rule: what is printed can be relied on; it listens, and its socket answers, before a word is said.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from shoal.cli.command import command
from shoal.cli.reach import mdns_option
from shoal.cli.session import Session, pass_session
from shoal.cli.transfer import PeerWords
from shoal.errors import ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal import Node

_RETRY_SECONDS = 1.0
_RETRY_SECONDS_MAX = 60.0
_LOOK_SECONDS = 5.0


@command(
    "node",
    examples=[
        "shoal node --listen /ip4/0.0.0.0/tcp/4001      # for every network of this machine",
        "shoal node --json                              # for programs: a line when it is ready, then what happens",
    ],
)
@click.option(
    "--listen",
    multiple=True,
    default=("/ip4/127.0.0.1/tcp/0",),
    metavar="ADDR",
    show_default=True,
    help="Where to listen. Only this machine unless told otherwise. Repeatable.",
)
@click.option("--peer", "peers", multiple=True, metavar="ADDR", help="Stay connected to this peer. Repeatable.")
@click.option(
    "--serve",
    type=click.Choice(["shared", "all"]),
    default="shared",
    show_default=True,
    help="What peers may fetch: what 'shoal share' shares through this node, or all that the store has.",
)
@click.option("--bwlimit", metavar="RATE", help="Most bytes to receive, and to send, a second, as 2MB or 500KiB.")
@mdns_option
@pass_session
def node(
    session: Session,
    listen: tuple[str, ...],
    peers: tuple[str, ...],
    serve: Literal["shared", "all"],
    bwlimit: str | None,
    mdns: bool | None,
) -> None:
    """Run a node until Ctrl-C.

    While it runs, 'shoal get' and 'shoal share' on the same store go through it, and 'shoal swarm', 'shoal id' and 'shoal ping' ask it.
    Ctrl-C and SIGTERM end it, with exit code 0.

    With --json: a line with id and addrs when it is ready, then a line for everything that happens.
    """
    from shoal.cli.reach import finders, rate, run_until_stopped

    limit = rate(bwlimit)
    words = PeerWords()

    def tell(event: dict[str, Any]) -> None:
        if session.json:
            session.output.result(event)
            sys.stdout.flush()
        else:
            words(event)

    async def work(running: Node) -> None:
        await _run(session, running, peers, tell)

    run_until_stopped(
        session, work, listen=listen, serve=serve, bytes_per_second=limit, discoveries=finders(session, mdns)
    )
    words.clear()


async def _run(session: Session, node: Node, peers: tuple[str, ...], tell: Callable[[dict[str, Any]], None]) -> None:
    import anyio

    from shoal.control.verbs import VERBS

    about = await node.id()
    session.output.result(
        {"event": "ready", "id": about.id, "addrs": about.addrs, "agent": about.agent},
        f"node {about.id} is ready (Ctrl-C ends it)",
        *(f"listening at {address}" for address in about.addrs),
    )
    sys.stdout.flush()
    async with anyio.create_task_group() as tasks:
        for address in peers:
            tasks.start_soon(_stay_connected, node, address, tell)
        await VERBS["watch"](node, {}, tell)


async def _stay_connected(node: Node, address: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Connects again whenever the peer is gone, waiting longer each time that it cannot be reached. Says so the first time."""
    import anyio

    pause = _RETRY_SECONDS
    while True:
        try:
            peer = await node.connect(address)
        except ShoalError as error:
            if pause == _RETRY_SECONDS:
                tell({"event": "unreachable", "peer": None, "address": address, "reason": str(error)})
            await anyio.sleep(pause)
            pause = min(2 * pause, _RETRY_SECONDS_MAX)
            continue
        pause = _RETRY_SECONDS
        while any(there.id == peer for there in await node.peers()):  # noqa: ASYNC110 - many peers, one look
            await anyio.sleep(_LOOK_SECONDS)
