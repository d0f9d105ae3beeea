"""The jobs: who sends what to whom, and the goals, which are the project's own (docs/benchmarks).

A job prepares both ends, then takes the time of the fetch alone. Whoever fetches has an empty store each time. Pairs of one
comparison take turns, round by round, and their medians count.
"""

from __future__ import annotations

import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benches.material import MIB, painted, painted_file, painted_tree, tree_size
from benches.peers.exchange.child import Child
from benches.peers.exchange.kubo_end import KuboEnd
from benches.peers.exchange.raw import iperf3, pump
from benches.peers.exchange.table import Row, speed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLAKE3, IPFS = "blake3", "unixfs-v1-2025"
KIB = 1024
TINY_BYTES = 128
TAKERS = 8
SOURCES = 3


@dataclass
class Place:
    """Where it happens and how much."""

    folder: Path
    kubo: str | None
    size: int
    files: int
    blocks: int
    connections: int
    rounds: int
    made: int = field(default=0)

    def new(self, name: str) -> Path:
        """A path that nothing has."""
        self.made += 1
        return self.folder / f"{name}-{self.made}"

    def file(self) -> Path:
        path = self.folder / "file"
        return path if path.exists() else painted_file(path, self.size)

    def tree(self) -> Path:
        path = self.folder / "tree"
        return path if path.exists() else painted_tree(path, self.files)

    def kubo_end(self) -> KuboEnd:
        assert self.kubo is not None
        return KuboEnd(self.kubo, self.new("kubo"))


class ShoalEnd(Child):
    """A node in a process of its own; its store is gone with it."""

    def __init__(self, place: Place) -> None:
        self.store = place.new("shoal")
        super().__init__("benches.peers.exchange.shoal_end", self.store)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[arg-type]
        shutil.rmtree(self.store, ignore_errors=True)

    def add(self, source: Path, profile: str, chunk: int = 0) -> str:
        return str(self.ask("add", source=str(source), profile=profile, chunk=chunk)["cid"])

    def listen(self) -> str:
        return str(self.ask("listen")["address"])

    def connect(self, address: str) -> None:
        self.ask("connect", address=address)

    def fetch(self, cid: str) -> float:
        return float(self.ask("fetch", cid=cid)["seconds"])


# The two-sided ones: from → to, file or tree.


def pairs(place: Place, source: Path, profile: str, names: list[str]) -> dict[str, float]:
    """Median seconds of each pair, `shoal → kubo` and so on, on the same DAG."""
    took: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        senders: dict[str, tuple[ShoalEnd | KuboEnd, str]] = {}
        cids = set()
        for name in names:
            kind = name.split(" → ")[0]
            if kind not in senders:
                end: ShoalEnd | KuboEnd = stack.enter_context(ShoalEnd(place) if kind == "Shoal" else place.kubo_end())
                cids.add(end.add(source, profile))
                senders[kind] = end, end.listen() if isinstance(end, ShoalEnd) else end.address
        (cid,) = cids  # that both sides give one DAG the same name is what makes them comparable
        for _ in range(place.rounds):
            for name in names:
                sender, receiver = name.split(" → ")
                with ShoalEnd(place) if receiver == "Shoal" else place.kubo_end() as end:
                    end.connect(senders[sender][1])
                    took[name].append(end.fetch(cid))
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def names_of_pairs(place: Place) -> list[str]:
    """Who sends to whom."""
    ours = ["Shoal → Shoal"]
    return [*ours, "Kubo → Shoal", "Shoal → Kubo", "Kubo → Kubo"] if place.kubo else ours


def raw(place: Place) -> Iterator[Row]:
    """What the link gives when nothing is checked."""
    seconds = statistics.median(pump(place.size) for _ in range(place.rounds))
    yield Row("raw TCP, sockets in two processes", speed(place.size, seconds))
    told = iperf3(place.size)
    if told is not None:
        yield Row("raw TCP, iperf3", speed(place.size, told), speed(place.size, seconds), seconds / told)


def file(place: Place) -> Iterator[Row]:
    """A large file, by each pair, in both profiles."""
    goals = {"Shoal → Shoal": 3.5, "Kubo → Shoal": 1.5, "Shoal → Kubo": 1.0}
    for profile in (BLAKE3, IPFS):
        link = statistics.median(pump(place.size) for _ in range(place.rounds))
        took = pairs(place, place.file(), profile, names_of_pairs(place))
        ours = place.size / took["Shoal → Shoal"]
        what = f"file, {profile}"
        if profile == BLAKE3:
            figure = speed(place.size, took["Shoal → Shoal"])
            yield Row(
                f"{what}, Shoal → Shoal", figure, "raw TCP", ours / (place.size / link), "500 MB/s", ours >= 500e6
            )
        theirs = took.get("Kubo → Kubo")
        for name, seconds in took.items():
            goal = None if name == "Shoal → Shoal" and profile != BLAKE3 else goals.get(name)
            ratio = theirs / seconds if theirs else None
            is_met = ratio >= goal if goal is not None and ratio is not None else None
            yardstick = "" if theirs is None or name == "Kubo → Kubo" else f"Kubo → Kubo, {theirs:.2f} s"
            if theirs is None and profile == BLAKE3:
                continue
            yield Row(
                f"{what}, {name}",
                speed(place.size, seconds),
                yardstick,
                ratio if yardstick else None,
                f"{goal:.1f} times" if goal and yardstick else "",
                is_met,
            )


def tree(place: Place) -> Iterator[Row]:
    """A tree of many files."""
    files, size = tree_size(place.tree())
    took = pairs(
        place, place.tree(), BLAKE3, [n for n in names_of_pairs(place) if n in ("Shoal → Shoal", "Kubo → Kubo")]
    )
    ours, theirs = took["Shoal → Shoal"], took.get("Kubo → Kubo")
    what = f"tree of {files:,} files, {BLAKE3}, Shoal → Shoal"
    if theirs is None:
        yield Row(what, speed(size, ours))
    else:
        ratio = theirs / ours
        yield Row(what, speed(size, ours), f"Kubo → Kubo, {theirs:.2f} s", ratio, "5.0 times", ratio >= 5)


# Those with Shoal alone.


def first_byte(place: Place) -> Iterator[Row]:
    """How long it takes until something of a connected peer's file is here."""
    with ShoalEnd(place) as sender, ShoalEnd(place) as receiver:
        receiver.connect(sender.listen())
        seconds = []
        for number in range(20):
            path = place.new("small")
            path.write_bytes(painted(MIB, seed=number + 100))
            cid = sender.add(path, BLAKE3)
            seconds.append(float(receiver.ask("fetch", cid=cid)["first_seconds"]))
    median, worst = statistics.median(seconds) * 1e3, max(seconds) * 1e3
    yield Row(
        "first byte of a connected peer's file, median of 20",
        f"{median:.1f} ms (most {worst:.1f} ms)",
        "",
        None,
        "30 ms",
        median <= 30,
    )


def tiny_blocks(place: Place) -> Iterator[Row]:
    """How many blocks of 128 B one node serves, to a peer that keeps nothing, and to one that keeps all."""
    path = painted_file(place.new("tiny"), place.blocks * TINY_BYTES)
    with ShoalEnd(place) as sender, ShoalEnd(place) as taker, ShoalEnd(place) as receiver:
        cid = sender.add(path, IPFS, chunk=TINY_BYTES)
        names = place.new("cids")
        sender.ask("refs", cid=cid, target=str(names))
        address = sender.listen()
        before = sender.ask("processor")["seconds"]
        taken = taker.ask("take", address=address, cids=str(names), wants=512)
        used = sender.ask("processor")["seconds"] - before
        rate = taken["blocks"] / taken["seconds"]
        yield Row(
            f"blocks of {TINY_BYTES} B served", f"{rate:,.0f} wants/s", "", None, "20,000 wants/s", rate >= 20_000
        )
        yield Row("the same, per second of the serving processor", f"{taken['blocks'] / max(used, 1e-3):,.0f} wants/s")
        receiver.connect(address)
        fetched = receiver.ask("fetch", cid=cid)
        yield Row("the same, fetched and stored", f"{fetched['blocks'] / fetched['seconds']:,.0f} blocks/s")


def sources(place: Place) -> Iterator[Row]:
    """Three nodes have the file; one of them is killed when half of it has come."""
    with ExitStack() as stack:
        ends = [stack.enter_context(ShoalEnd(place)) for _ in range(SOURCES)]
        receiver = stack.enter_context(ShoalEnd(place))
        for end in ends:
            cid = end.add(place.file(), BLAKE3)
            receiver.connect(end.listen())
        receiver.order("fetch", cid=cid, half_bytes=place.size // 2)
        answer = receiver.answer()
        if "half" in answer:
            ends[0].kill()
            answer = receiver.answer()
    pause, twice = answer["longest_pause"], answer["duplicate_bytes"] / place.size
    what = f"{SOURCES} Shoal sources, one killed half-way"
    yield Row(f"{what}: speed", speed(place.size, answer["seconds"]))
    yield Row(f"{what}: longest pause", f"{pause:.2f} s", "", None, "2 s", pause <= 2)
    yield Row(f"{what}: bytes that came twice", f"{twice:.2%}", "", None, "2 %", twice <= 0.02)


def many_takers(place: Place) -> Iterator[Row]:
    """What a node needs that serves a large file to eight peers at a time."""
    with ExitStack() as stack:
        sender = stack.enter_context(ShoalEnd(place))
        cid = sender.add(place.file(), BLAKE3)
        names = place.new("cids")
        sender.ask("refs", cid=cid, target=str(names))
        address = sender.listen()
        takers = [stack.enter_context(ShoalEnd(place)) for _ in range(TAKERS)]
        for taker in takers:
            taker.order("take", address=address, cids=str(names), wants=16)
        took = [taker.answer() for taker in takers]
        memory = sender.ask("memory")
    total, seconds = sum(each["bytes"] for each in took), max(each["seconds"] for each in took)
    what = f"a file served to {TAKERS} peers"
    yield Row(f"{what}: speed of all", speed(total, seconds))
    own, mapped = memory["own_most"] / MIB, memory["peak"] / MIB
    yield Row(f"{what}: most memory of its own", f"{own:.0f} MiB", "", None, "256 MiB", own <= 256)
    yield Row(f"{what}: most resident, mapped packs included", f"{mapped:.0f} MiB")


def idle_connections(place: Place) -> Iterator[Row]:
    """What a connection costs that is open, secured, identified and idle."""
    with ShoalEnd(place) as server, ShoalEnd(place) as client:
        address = server.listen()
        client.ask("connect_many", address=address, count=1)
        before = server.ask("memory")
        opened = client.ask("connect_many", address=address, count=place.connections)["connections"]
        # The last of them is open on this side a moment before it is on the other.
        for _ in range(100):
            after = server.ask("memory")
            if after["peers"] - before["peers"] == opened:
                break
            time.sleep(0.05)
    each = (after["own"] - before["own"]) / opened / KIB
    there = after["peers"] - before["peers"]
    if there != opened:
        raise ValueError(f"{there} of {opened} connections are open")
    yield Row(f"{opened:,} idle connections: memory of each", f"{each:.1f} KiB", "", None, "48 KiB", each <= 48)


JOBS: dict[str, Callable[[Place], Iterator[Row]]] = {
    "raw": raw,
    "file": file,
    "tree": tree,
    "first-byte": first_byte,
    "tiny-blocks": tiny_blocks,
    "sources": sources,
    "many-takers": many_takers,
    "idle-connections": idle_connections,
}
