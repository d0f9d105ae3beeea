"""What a command can ask of a node: each verb is a function of the node, its arguments, and a way to tell what happens meanwhile.

The same functions serve a command that has no node to ask and starts one of its own: there is one way of doing each thing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from shoal._core import CID
from shoal.discovery.ticket import Ticket
from shoal.errors import CannotListen, InvalidInput, NetworkError, ShoalError, Unreachable
from shoal.transfer import TransferProgress
from shoal.transport.address import Scope, TcpAddress, peer_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shoal.node import Node
    from shoal.results import PeerInfo, Progress
    from shoal.swarm import SwarmEvent

__all__ = ["EVERYWHERE", "VERBS", "Tell"]

Tell: TypeAlias = "Callable[[dict[str, Any]], None]"
"""Tells of something that happened, or how far it is."""

EVERYWHERE: Final = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")
"""Where a share listens unless told: on every network this machine is on, at free ports."""
RATE_SECONDS: Final = 1.0
"""How often it is told who takes how much."""
PINGS_MAX: Final = 1_000_000
EVENTS_KEPT: Final = 256


async def node_id(node: Node, arguments: dict[str, Any], tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """What the node is to others."""
    about = await node.id()
    return {"id": about.id, "addrs": about.addrs, "protocols": about.protocols, "agent": about.agent}


async def peers(node: Node, arguments: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:  # noqa: ARG001
    """Who is connected."""
    return [_peer_record(peer) for peer in await node.peers()]


async def connect(node: Node, arguments: dict[str, Any], tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Connects to one peer by its addresses."""
    return {"id": await node.connect(*_texts(arguments, "addresses"))}


async def disconnect(node: Node, arguments: dict[str, Any], tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Closes the connections to a peer, which an address may name."""
    (text,) = _texts(arguments, "peers")
    peer = _named_peer(text)
    if not await node.disconnect(peer):
        raise Unreachable(f"peer {peer} is not connected: `shoal swarm peers` says who is")
    return {"id": peer}


async def ping(node: Node, arguments: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Pings a peer, by its address or by its id if it is connected: an event for each, and what they were together."""
    text, count = _text(arguments, "peer"), int(arguments["count"])
    interval = float(arguments["interval"])
    if not 1 <= count <= PINGS_MAX or not 0 <= interval <= 3600:
        raise InvalidInput(f"a ping is sent 1 to {PINGS_MAX} times, at most an hour apart")
    peer = await node.connect(text) if text.startswith("/") and not text.startswith("/p2p/") else _named_peer(text)
    took: list[float] = []
    sent = 0
    reason = ""
    for number in range(count):
        if number:
            await anyio.sleep(interval)
        sent += 1
        try:
            seconds = await node.ping(peer)
        except NetworkError as error:
            reason = str(error)
            tell({"number": number + 1, "peer": peer, "seconds": None, "reason": reason})
            if not took and not any(peer == there.id for there in await node.peers()):
                break
        else:
            took.append(seconds)
            tell({"number": number + 1, "peer": peer, "seconds": seconds, "reason": None})
    if not took:
        raise Unreachable(reason or f"peer {peer} did not answer")
    return {
        "peer": peer,
        "sent": sent,
        "received": len(took),
        "seconds_min": min(took),
        "seconds_mean": sum(took) / len(took),
        "seconds_max": max(took),
    }


async def fetch(node: Node, arguments: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Fetches content into the store: events say how far it is, and which of the peers that were named cannot be reached."""
    named = _by_peer(_texts(arguments, "peers"))
    reached: list[str] = []
    lost: list[ShoalError] = []

    async def reach(addresses: Sequence[str]) -> None:
        try:
            peer = await node.connect(*addresses)
        except ShoalError as error:
            lost.append(error)
            tell({"event": "unreachable", "reason": str(error)})
        else:
            reached.append(f"{peer_of(addresses[0])[0]}/p2p/{peer}")
            tell({"event": "connected", "peer": peer})

    async with anyio.create_task_group() as tasks:
        for addresses in named:
            tasks.start_soon(reach, addresses)
    for error in lost:
        # What is no address at all is told; who does not answer, only if there is nobody else to ask.
        if isinstance(error, InvalidInput) or (not reached and not await node.peers()):
            raise error
    timeout, patience = arguments.get("timeout"), arguments.get("patience")
    transfer = node.fetch(
        _text(arguments, "content"),
        peers=reached,
        pin=bool(arguments.get("pin")),
        patience=30.0 if patience is None else float(patience),
        timeout=None if timeout is None else float(timeout),
    )
    total = arguments.get("bytes_total")
    async for progress in transfer:
        tell({"event": "progress", **_progress_record(progress, total)})
    done = await transfer
    return {
        "cid": str(done.cid),
        "bytes": done.bytes,
        "blocks": done.blocks,
        "seconds": done.seconds,
        "first_seconds": done.first_seconds,
        "peers": done.peers,
        "duplicate_bytes": done.duplicate_bytes,
    }


async def share(node: Node, arguments: dict[str, Any], tell: Tell) -> None:
    """Lets peers fetch content until the request is cancelled: first an event with its ticket, then who comes and takes how much."""
    root = CID(_text(arguments, "cid"))
    await _listen(node, _texts(arguments, "listen"))
    was_served = root in node.served
    await node.serve(root)
    try:
        about = await node.id()
        size = arguments.get("bytes")
        ticket = Ticket.offering(
            root,
            name=arguments.get("name"),
            size=None if size is None else int(size),
            peer=about.id,
            addresses=told_first([peer_of(address)[0] for address in about.addrs]),
        )
        tell({"event": "ready", "ticket": str(ticket), "cid": str(root), "id": about.id, "addrs": about.addrs})
        await watch(node, arguments, tell)
    finally:
        if not was_served:
            with anyio.CancelScope(shield=True):
                await node.unserve(root)


async def watch(node: Node, arguments: dict[str, Any], tell: Tell) -> None:  # noqa: ARG001
    """Tells who comes and goes, and once a second who takes and gives how much, until the request is cancelled."""
    before: dict[str, tuple[int, int]] = {
        peer.id: (peer.sent_bytes, peer.received_bytes) for peer in await node.peers()
    }
    happened: deque[SwarmEvent] = deque(maxlen=EVENTS_KEPT)
    with node.listening_to_events(happened.append):
        at = anyio.current_time()
        while True:
            await anyio.sleep(RATE_SECONDS)
            now = anyio.current_time()
            seconds, at = now - at, now
            while happened:
                event = happened.popleft()
                tell(_event_record(event))
            there = await node.peers()
            for peer in there:
                sent, received = before.get(peer.id, (0, 0))
                moved = {
                    "sent_bytes": peer.sent_bytes,
                    "sent_bytes_per_second": max(peer.sent_bytes - sent, 0) / seconds,
                    "received_bytes": peer.received_bytes,
                    "received_bytes_per_second": max(peer.received_bytes - received, 0) / seconds,
                }
                if peer.sent_bytes - sent > _QUIET_BYTES or peer.received_bytes - received > _QUIET_BYTES:
                    tell({"event": "moving", "peer": peer.id, **moved})
            before = {peer.id: (peer.sent_bytes, peer.received_bytes) for peer in there}


def _event_record(event: SwarmEvent) -> dict[str, Any]:
    record = {"event": event.kind, "peer": event.peer, "address": event.address}
    if event.kind != "disconnected":
        return record
    return record | {"reason": event.reason, "sent_bytes": event.sent_bytes, "received_bytes": event.received_bytes}


_QUIET_BYTES: Final = 16384
"""What a second of a connection that does nothing may move: pings, identify."""


VERBS: Final[dict[str, Callable[[Node, dict[str, Any], Tell], Awaitable[Any]]]] = {
    "id": node_id,
    "peers": peers,
    "connect": connect,
    "disconnect": disconnect,
    "ping": ping,
    "fetch": fetch,
    "share": share,
    "watch": watch,
}


def told_first(addresses: Sequence[str]) -> list[str]:
    """Addresses in the order a ticket should have them: what others can reach before this machine's own."""
    order = {Scope.PRIVATE: 0, Scope.PUBLIC: 1, Scope.LINK: 2, Scope.LOOPBACK: 3}

    def rank(address: str) -> tuple[int, int]:
        try:
            parsed = TcpAddress.parse(address)
        except InvalidInput:
            return 4, 0
        return order[parsed.scope], parsed.ip.version

    return sorted(addresses, key=rank)


async def _listen(node: Node, addresses: Sequence[str]) -> None:
    """Listens where it was asked to, or, where nothing was asked and others cannot reach the node yet, everywhere."""
    for address in addresses:
        await node.listen(address)
    if addresses or any(rank != Scope.LOOPBACK for rank in map(_scope, (await node.id()).addrs)):
        return
    refused: list[CannotListen] = []
    for address in EVERYWHERE:
        try:
            await node.listen(address)
        except CannotListen as error:
            # Machines without IPv6, or without IPv4, are common.
            refused.append(error)
    if len(refused) == len(EVERYWHERE):
        raise refused[0]


def _scope(address: str) -> Scope:
    try:
        return TcpAddress.parse(address).scope
    except InvalidInput:
        return Scope.LOOPBACK


def _by_peer(addresses: Sequence[str]) -> list[list[str]]:
    """Addresses of the same peer together; one that names none stands alone."""
    groups: dict[str, list[str]] = {}
    for address in addresses:
        groups.setdefault(peer_of(address)[1] or address, []).append(address)
    return list(groups.values())


def _named_peer(text: str) -> str:
    """The peer's id, from itself or from the end of an address."""
    if text.startswith("/"):
        peer = peer_of(text)[1]
        if peer is None:
            raise InvalidInput(f"{text} does not say which peer is there: it has to end in /p2p/ and the peer's id")
        return peer
    return text


def _peer_record(peer: PeerInfo) -> dict[str, Any]:
    return {
        "id": peer.id,
        "address": peer.address,
        "direction": peer.direction,
        "security": peer.security,
        "agent": peer.agent,
        "protocols": peer.protocols,
        "round_trip": peer.round_trip,
        "received_bytes": peer.received_bytes,
        "sent_bytes": peer.sent_bytes,
    }


def _progress_record(progress: Progress, total: Any) -> dict[str, Any]:
    return {
        "bytes": progress.bytes,
        "bytes_total": progress.bytes_total if progress.bytes_total is not None else total,
        "blocks": progress.files,
        "peers": progress.peers if isinstance(progress, TransferProgress) else {},
        "waiting": progress.waiting if isinstance(progress, TransferProgress) else None,
    }


def _text(arguments: dict[str, Any], name: str) -> str:
    text = arguments.get(name)
    if not isinstance(text, str):
        raise InvalidInput(f"the request lacks its {name}")
    return text


def _texts(arguments: dict[str, Any], name: str) -> list[str]:
    texts = arguments.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"the request's {name} are not a list of texts")
    return texts
