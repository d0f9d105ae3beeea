"""`shoal ping`: how far away a peer is, and whether it answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.command import command
from shoal.cli.output import printable_line
from shoal.cli.reach import ask_any
from shoal.cli.session import Session, pass_session
from shoal.cli.transfer import short_id

if TYPE_CHECKING:
    from collections.abc import Callable


@command(
    "ping",
    examples=[
        'shoal ping -n 2 "$PEER"                   # /ip4/192.0.2.1/tcp/4001, with or without /p2p/ID',
        'shoal ping -n 3 -i 0.1 --json "$PEER"     # a line for each, and one for all',
    ],
)
@click.argument("peer", metavar="ADDR|PEER")
@click.option("-n", "--count", type=click.IntRange(1, 1_000_000), default=10, show_default=True, help="How many times.")
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0, 3600),
    default=1.0,
    metavar="S",
    show_default=True,
    help="Seconds between two.",
)
@pass_session
def ping(session: Session, peer: str, count: int, interval: float) -> None:
    """Measure how long a peer takes to answer.

    ADDR is dialled if need be. A PEER by its id alone has to be connected to the node that runs.
    """
    record = ask_any(session, "ping", {"peer": peer, "count": count, "interval": interval}, _printer(session))
    lost = 1 - record["received"] / record["sent"]
    times = "/".join(f"{1000 * record[f'seconds_{which}']:.3g}" for which in ("min", "mean", "max"))
    session.output.result(
        record,
        f"{record['sent']} sent, {record['received']} came back, {lost:.0%} lost",
        f"round trip min/mean/max {times} ms",
    )


def _printer(session: Session) -> Callable[[dict[str, Any]], None]:
    def hear(event: dict[str, Any]) -> None:
        if event["seconds"] is None:
            text = f"{event['number']}: {printable_line(event['reason'])}"
        else:
            text = f"{event['number']}: {short_id(event['peer'])} {1000 * event['seconds']:.3g} ms"
        session.output.result(event, text)
        sys.stdout.flush()

    return hear
