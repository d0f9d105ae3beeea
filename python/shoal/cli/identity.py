"""`shoal id`: what this store's node is to others, whether or not it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.cli.command import command
from shoal.cli.reach import ask, run_node
from shoal.cli.session import Session, pass_session
from shoal.errors import NodeNotRunning

if TYPE_CHECKING:
    from shoal import Node


@command(
    "id",
    examples=[
        "shoal id           # the peer id, made at the first use",
        "shoal id --json    # with addresses and protocols",
    ],
)
@pass_session
def show_id(session: Session) -> None:
    """Print this node's peer id, and where it listens if it runs."""
    try:
        record = ask(session, "id", {})
    except NodeNotRunning:
        record = run_node(session, _own)
    session.output.result(record, record["id"], *record["addrs"])


async def _own(node: Node) -> dict[str, Any]:
    from shoal.control.verbs import VERBS

    record: dict[str, Any] = await VERBS["id"](node, {}, lambda _: None)
    return record
