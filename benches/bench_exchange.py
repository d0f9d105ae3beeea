"""Deciding what to ask and what to send: blocks per second of one core, beside a loop over a dict and a heap that decides nothing.

No bytes move: a block is its length. Each of `SHOAL_BENCH_BLOCKS` blocks is asked for and taken, or wanted, looked up and handed out.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import pytest

from benches.material import count
from benches.yardstick import best, seconds
from shoal.exchange.message import Link, Message
from shoal.exchange.server import Server
from shoal.exchange.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = 1024
# Sizes of blocks, and how many come in one message.
SHAPES = {"256 KiB, one a message": (256 * KIB, 1), "4 KiB, 16 a message": (4 * KIB, 16)}


class Bytes:
    """A block that is only as long as it says."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def material(blocks: int, size: int) -> list[tuple[Link, list[Link]]]:
    """Parents of 1,024 leaves each."""
    leaves = [Link(f"leaf{i}".encode(), size, is_leaf=True) for i in range(blocks)]
    return [(Link(f"parent{at}".encode(), 50_000), leaves[at : at + 1024]) for at in range(0, blocks, 1024)]


def fetch(parents: list[tuple[Link, list[Link]]], data: Bytes, per_message: int) -> int:
    """A whole fetch from one peer that answers at once; the clock goes on by what a link of 1 GB/s needs."""
    now = 0.0
    session = Session([parent for parent, _ in parents], now, seed=1)
    session.peer_connected("peer", now, is_likely=True)
    children = {parent.cid: links for parent, links in parents}
    taken = 0
    queue: list[object] = []
    while not session.is_done:
        for _, message in session.actions().messages:
            queue += message.want_blocks
        came, queue = queue[:per_message], queue[per_message:]
        now += len(data) * len(came) / 1e9
        for cid, _ in session.received("peer", Message(blocks=[(cid, data) for cid in came]), now):  # type: ignore[misc]
            taken += 1
            if cid in children:
                session.links(cid, children[cid], now)
    return taken


def serve(cids: list[bytes], size: int) -> int:
    """All that one peer wants, 256 wants a message."""
    server = Server()
    sent = 0
    for at in range(0, len(cids), 256):
        server.received("peer", Message(want_blocks=cids[at : at + 256]))  # type: ignore[arg-type]
        for cid in server.lookups():
            server.found(cid, size)
        while (send := server.next()) is not None:
            sent += len(send.blocks)
            server.written("peer", send.size)
    return sent


def plain(cids: list[bytes]) -> None:
    """Each through a heap and two dicts: what any bookkeeping costs at least."""
    heap: list[tuple[tuple[int, int], bytes]] = []
    wanted: dict[bytes, int] = {}
    under_way: dict[bytes, int] = {}
    for at, cid in enumerate(cids):
        heapq.heappush(heap, ((0, at), cid))
        wanted[cid] = at
    while heap:
        _, cid = heapq.heappop(heap)
        under_way[cid] = wanted[cid]
        del under_way[cid], wanted[cid]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def bench_fetch(benchmark, beside: Callable[..., None], shape: str) -> None:
    size, per_message = SHAPES[shape]
    blocks = count("SHOAL_BENCH_BLOCKS", 100_000)
    parents = material(blocks, size)
    cids = [link.cid for _, links in parents for link in links]
    assert benchmark(lambda: fetch(parents, Bytes(size), per_message)) == blocks + len(parents)
    say(benchmark, beside, cids)


def bench_serve(benchmark, beside: Callable[..., None]) -> None:
    cids = [link.cid for _, links in material(count("SHOAL_BENCH_BLOCKS", 100_000), 0) for link in links]
    assert benchmark(lambda: serve(cids, 4 * KIB)) == len(cids)
    say(benchmark, beside, cids)


def say(benchmark, beside: Callable[..., None], cids: list[bytes]) -> None:
    beside(
        benchmark.stats["min"],
        0,
        best(f"{len(cids):,} through a heap and two dicts", lambda: seconds(lambda: plain(cids))),
    )
