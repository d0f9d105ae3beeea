"""`shoal swarm`: the connections of the node that runs over the store.

The one rule: nothing here starts a node. Connections of one that ended with the command would be no use to anybody.
"""

from __future__ import annotations

import click

from shoal.cli.command import Family
from shoal.cli.output import columns, printable
from shoal.cli.reach import ask
from shoal.cli.session import Session, pass_session


@click.group("swarm", cls=Family)
def swarm() -> None:
    """See and change who the running node is connected to."""


@swarm.command(
    "peers",
    examples=[
        "shoal swarm peers           # who is connected, and how far away",
        "shoal swarm peers --json    # with what they speak",
    ],
)
@pass_session
def peers(session: Session) -> None:
    """List the peers that are connected."""
    found = ask(session, "peers", {})
    if session.json:
        for peer in found:
            session.output.result(peer)
        return
    rows = [
        (
            printable(f"{peer['address']}/p2p/{peer['id']}"),
            peer["direction"],
            peer["security"],
            "-" if peer["round_trip"] is None else f"{1000 * peer['round_trip']:.3g} ms",
            printable(peer["agent"] or "-"),
        )
        for peer in found
    ]
    session.output.lines(columns(rows))


@swarm.command(
    "connect",
    examples=[
        'shoal swarm connect "$PEER"     # /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…',
        'shoal swarm connect --json "$PEER"',
    ],
)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDR...")
@pass_session
def connect(session: Session, addresses: tuple[str, ...]) -> None:
    """Connect to a peer; several addresses are several ways to the same one."""
    record = ask(session, "connect", {"addresses": list(addresses)})
    session.output.result(record, f"connected {record['id']}")


@swarm.command(
    "disconnect",
    examples=[
        'shoal swarm disconnect "$PEER"     # an address, or the id alone',
        'shoal swarm disconnect --json "$PEER"',
    ],
)
@click.argument("peer", metavar="PEER|ADDR")
@pass_session
def disconnect(session: Session, peer: str) -> None:
    """Close the connections to a peer."""
    record = ask(session, "disconnect", {"peers": [peer]})
    session.output.result(record, f"disconnected {record['id']}")


@swarm.command(
    "addrs",
    examples=["shoal swarm addrs           # for 'shoal get --peer' on another machine", "shoal swarm addrs --json"],
)
@pass_session
def addrs(session: Session) -> None:
    """List where the running node can be reached."""
    record = ask(session, "id", {})
    if session.json:
        session.output.result({"id": record["id"], "addrs": record["addrs"]})
        return
    session.output.lines(record["addrs"])
