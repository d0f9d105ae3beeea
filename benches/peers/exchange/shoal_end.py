"""A node of Shoal's as one end: `python -m benches.peers.exchange.shoal_end STORE`, a child that takes orders.

Times are taken here, around the call of the library: neither the start of Python nor the opening of the store is in them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

import shoal
from benches.peers.exchange.taker import Taker, connect_many

SAMPLE_SECONDS = 0.01


def memory() -> dict[str, int]:
    """What the process has of memory, in bytes: its own, and the pages of packs that it has mapped."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines if line.startswith(("Rss", "VmHWM")))
    sizes = {name: int(value.split()[0]) * 1024 for name, value in fields.items()}
    return {"own": sizes["RssAnon"], "mapped": sizes["RssFile"] + sizes["RssShmem"], "peak": sizes["VmHWM"]}


class End:
    """Carries orders out."""

    def __init__(self, node: shoal.Node) -> None:
        self._node = node
        self._own_most = 0

    async def add(self, source: str, profile: str, chunk: int = 0) -> dict[str, object]:
        rules = shoal.Profile.named(profile)
        if chunk:
            rules = rules.replace(chunker=f"size-{chunk}")
        added = await self._node.add(Path(source), profile=rules, hidden=True)
        return {"cid": str(added.cid)}

    async def refs(self, cid: str, target: str) -> dict[str, object]:
        """Every block under a root, to a file of lines."""
        cids = [cid] + [str(child) async for _, child, _ in self._node.refs(cid, recursive=True, unique=True)]
        await anyio.Path(target).write_text("\n".join(cids), encoding="ascii")
        return {"blocks": len(cids)}

    async def listen(self) -> dict[str, object]:
        return {"address": (await self._node.listen())[0]}

    async def connect(self, address: str) -> dict[str, object]:
        return {"peer": await self._node.connect(address)}

    async def fetch(self, cid: str, half_bytes: int = 0) -> dict[str, object]:
        """Fetches from whoever is connected. With `half_bytes`, says so when that many have come, and how long the longest pause was."""
        transfer = self._node.fetch(cid)
        pauses = [0.0]

        async def watch() -> None:
            seen, since, is_told = 0, time.perf_counter(), False
            while True:
                await anyio.sleep(SAMPLE_SECONDS)
                came, now = transfer.progress.bytes, time.perf_counter()
                if came > seen:
                    pauses.append(now - since)
                    seen, since = came, now
                if half_bytes and came >= half_bytes and not is_told:
                    is_told = True
                    say({"half": came})

        started = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            if half_bytes:
                tasks.start_soon(watch)
            fetched = await transfer
            seconds = time.perf_counter() - started
            tasks.cancel_scope.cancel()
        return {
            "seconds": seconds,
            "first_seconds": fetched.first_seconds,
            "bytes": fetched.bytes,
            "blocks": fetched.blocks,
            "duplicate_bytes": fetched.duplicate_bytes,
            "peers": len(fetched.peers),
            "longest_pause": max(pauses),
        }

    async def take(self, address: str, cids: str, wants: int) -> dict[str, object]:
        """Asks for all blocks named in a file, so many at a time, and throws them away: what the serving end can do."""
        names = (await anyio.Path(cids).read_text(encoding="ascii")).split()
        taker = Taker([shoal.CID(name) for name in names], wants)
        network = await self._node._connected()
        return await taker.run(network.swarm, address)

    async def connect_many(self, address: str, count: int) -> dict[str, object]:
        """Connections as so many different peers, which stay open and idle."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        network = await self._node._connected()
        return {"connections": await connect_many(network, self._node._background, address, count)}

    async def memory(self) -> dict[str, object]:
        now = memory()
        self._own_most = max(self._own_most, now["own"])
        return {**now, "own_most": self._own_most, "peers": len(await self._node.peers())}

    async def processor(self) -> dict[str, object]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"seconds": used.ru_utime + used.ru_stime}

    async def watch_memory(self) -> None:
        """Its own memory, looked at all the time: the system keeps no most of that."""
        while True:
            self._own_most = max(self._own_most, memory()["own"])
            await anyio.sleep(0.05)


def say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with shoal.Node(sys.argv[1], serve="all") as node, anyio.create_task_group() as tasks:
        end = End(node)
        tasks.start_soon(end.watch_memory)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            order: dict[str, Any] = json.loads(line)
            say(await getattr(end, order.pop("verb"))(**order))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, backend=os.environ.get("SHOAL_BENCH_BACKEND") or "asyncio")
