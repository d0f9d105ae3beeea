"""A small world drawn from a seed: who has what, how the ways are, what goes wrong and when, and what must hold in the end.

Only some kinds of fault are in each world, so that each is also seen alone. Faults end at `heals_at`; from then on a source that
has everything, if there is one, is connected to all. What was drawn is in `options`, for whoever looks at a seed that failed.
"""

from __future__ import annotations

from sim import dag as dags, liars
from sim.link import Way
from sim.node import Node
from sim.world import World

HEALS_AT = 20.0
ENDS_AT = 400.0
FAULTS = ("jitter", "loss", "clog", "partition", "churn", "liars", "parts", "strangers", "slow", "private")


class Scenario:
    """Draw it, `run` it, `check` it."""

    def __init__(self, seed: int) -> None:
        self.world = world = World(seed)
        dice = world.dice
        self.faults = {fault for fault in FAULTS if dice.random() < 0.25}
        self.dag = dags.drawn(dice)
        self.has_source = dice.random() < 0.9
        self.sources = [
            Node(world, f"source{i}", self.dag, uplink=dice.choice([None, 2e6, 2e7])).holds_all()
            for i in range(dice.choice([1, 1, 2, 3]))
        ]
        self.missing: str | None = None
        if not self.has_source:
            self.missing = dice.choice(list(self.dag.blocks))
            for source in self.sources:
                del source.blocks[self.missing]
        self.receivers = [Node(world, f"receiver{i}", self.dag) for i in range(dice.choice([1, 1, 2, 4]))]
        self.others: list[Node] = []
        if "parts" in self.faults:
            for i in range(dice.randrange(1, 3)):
                share = dice.random()
                held = [cid for cid in self.dag.blocks if dice.random() < share and cid != self.missing]
                self.others.append(Node(world, f"part{i}", self.dag).holds(*held))
            for receiver in self.receivers:
                receiver.holds(*(cid for cid in self.dag.blocks if dice.random() < 0.2 and cid != self.missing))
        if "strangers" in self.faults:
            self.others += [Node(world, f"stranger{i}", self.dag) for i in range(dice.randrange(1, 25))]
        if "liars" in self.faults:
            held = [cid for cid in self.dag.blocks if cid != self.missing]
            self.others += [liars.drawn(world, f"liar{i}", self.dag).holds(*held) for i in range(dice.randrange(1, 4))]
        if "private" in self.faults:
            # Somebody else has all of it, and may serve nothing of it.
            hidden = Node(world, "hidden", self.dag).holds_all()
            hidden.private = set(self.dag.blocks)
            self.others.append(hidden)
        self.likely = {node.name for node in self.sources if dice.random() < 0.7}
        self.likely |= {node.name for node in self.others if not node.is_honest and dice.random() < 0.5}

    @property
    def options(self) -> str:
        return (
            f"seed {self.world.seed}: {sorted(self.faults)}, {len(self.dag.blocks)} blocks, {self.dag.bytes} bytes, "
            f"sizes told: {self.dag.tells_sizes}, missing: {self.missing}, sources {[n.name for n in self.sources]}, "
            f"receivers {len(self.receivers)}, others {[(n.name, type(n).__name__) for n in self.others]}, likely {sorted(self.likely)}"
        )

    def _way(self) -> Way:
        dice = self.world.dice
        return Way(
            delay=dice.choice([0.0, 0.0005, 0.01, 0.05, 0.15]),
            jitter=dice.choice([0.001, 0.05, 0.3]) if "jitter" in self.faults else 0.0,
            rate=dice.choice([2e4, 2e5, 1e8]) if "slow" in self.faults else dice.choice([1e6, 1e7, 1e9]),
            burst=dice.choice([0.0, 64_000.0]),
            loss=dice.choice([0.001, 0.02, 0.1]) if "loss" in self.faults else 0.0,
        )

    def _connect(self, one: Node, other: Node) -> None:
        connection = one.connect(other, self._way(), self._way())
        dice = self.world.dice
        if "clog" in self.faults and dice.random() < 0.5:
            begin = dice.random() * HEALS_AT / 2
            self.world.at(begin, lambda: connection.clog(begin + dice.random() * HEALS_AT / 2))
        if "churn" in self.faults and dice.random() < 0.5:
            self.world.at(dice.random() * HEALS_AT, connection.cut)

    def run(self) -> None:
        world, dice = self.world, self.world.dice
        everyone = [*self.sources, *self.others]
        for receiver in self.receivers:
            for other in everyone:
                if dice.random() < 0.85:
                    self._connect(receiver, other)
        for i, receiver in enumerate(self.receivers):
            for other in self.receivers[:i]:
                if dice.random() < 0.7:
                    self._connect(receiver, other)
        if "partition" in self.faults:
            begin, end = sorted((dice.random() * HEALS_AT, dice.random() * HEALS_AT))
            side = [node for node in (*everyone, *self.receivers) if dice.random() < 0.5]
            world.at(begin, lambda: self._part(side, end))
        for receiver in self.receivers:
            starts = 0.0 if dice.random() < 0.5 else dice.random() * 2
            world.at(starts, lambda node=receiver: node.fetch(ends_at=ENDS_AT - 5, likely=tuple(sorted(self.likely))))
        world.at(HEALS_AT, self._heal)
        world.run(ENDS_AT, lambda: all(node.finished_at is not None for node in self.receivers))

    def _part(self, side: list[Node], until: float) -> None:
        for node in side:
            for connection in list(node.connections.values()):
                if not all(end in side for end in connection.ends):
                    connection.clog(until)
                    # The keep-alive of the connection notices.
                    self.world.after(15.0, lambda c=connection: c.cut() if self.world.now < until else None)

    def _heal(self) -> None:
        """Every receiver that is not done has a good way to every source."""
        for receiver in self.receivers:
            for source in self.sources:
                if receiver.finished_at is None:
                    if source.name in receiver.connections:
                        receiver.connections[source.name].cut()
                    receiver.connect(source, Way(delay=0.02, rate=1e7))
                    receiver.tell_connected(source.name, is_likely=True)

    def check(self) -> None:
        """What must hold in the end, whatever was drawn."""
        for node in self.receivers:
            session = node.session
            assert session is not None
            assert node.finished_at is not None, f"{node.name} neither finished nor failed"
            if self.has_source:
                assert node.has_all, f"{node.name} gave up {node.failures[:3]} though a source has all"
                assert not node.failures
            else:
                # What is lacking is named, with what is above it here; if it is reached at all.
                assert node.failures, f"{node.name} lacks {self.missing}, and says nothing of it"
                assert all(reason for _, reason in node.failures)
            honest = [source.name for source in (*self.sources, *self.others, *self.receivers) if source.is_honest]
            if not self.faults & {"liars", "churn", "loss", "clog", "partition", "jitter", "slow"}:
                assert not [name for name, _ in node.dropped if name in honest], node.dropped
            assert not [(name, why) for name, why in node.dropped if name in honest and why != "it does not answer"], (
                node.dropped
            )
            for hidden in self.others:
                if hidden.private:
                    assert hidden.server.statistics.blocks == 0
        if not self.faults & {"liars", "churn", "loss", "clog", "partition", "jitter", "slow"}:
            self._check_duplicates()

    def _check_duplicates(self) -> None:
        """Where nothing goes wrong, one in a hundred bytes comes twice, and eight blocks at the start of each receiver's fetch.

        A peer that answered a question with "have" is asked for more before it is known that it has parts only; some of that
        it gets, and sends, while it is called back. A block of at most 1 KiB is sent instead of an answer: where
        all are such, or nearly, up to two in five come twice while it is being found out who has them.
        """
        came = sum(node.session.statistics.bytes for node in self.receivers)
        twice = sum(node.session.statistics.duplicate_bytes for node in self.receivers)
        leaves = [len(data) for cid, data in self.dag.blocks.items() if not self.dag.children[cid]]
        share = 0.01 if max(leaves) > 2048 else 0.4
        allowed = came * share + 8 * max(leaves) * len(self.receivers)
        assert twice <= allowed, f"{twice} of {came} bytes came twice"
