"""Nodes that do not keep the rules. Each breaks one, so that a trace tells which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.exchange.message import Message
from sim.dag import Painted
from sim.node import Node

if TYPE_CHECKING:
    from sim.world import World


class Liar(Node):
    is_honest = False


class WrongBytes(Liar):
    """Sends other bytes than those of the block, now and then."""

    share = 0.3

    def transmit(self, peer: str, message: Message, size: int = 0) -> None:
        dice = self.world.dice
        blocks = [
            (cid, Painted("wrong", len(data)) if dice.random() < self.share else data) for cid, data in message.blocks
        ]
        super().transmit(peer, message._replace(blocks=blocks), size)


class FalseHaver(Liar):
    """Has everything, as it says, and when it is asked has nothing. Every second one does not even say so."""

    def receive(self, peer: str, message: Message) -> None:
        self.world.note(peer, ">", self.name, "is lied to")
        is_silent = sum(self.name.encode()) % 2
        dont_haves = [] if is_silent else list(message.want_blocks)
        if message.want_haves or dont_haves:
            self.transmit(peer, Message(haves=list(message.want_haves), dont_haves=dont_haves))


class Staller(Liar):
    """Serves some messages, then nothing any more, and stays connected."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.left = 3 + self.world.dice.randrange(10)

    def transmit(self, peer: str, message: Message, size: int = 0) -> None:
        if self.left:
            self.left -= 1
            super().transmit(peer, message, size)


class Flooder(Liar):
    """Sends blocks that nobody asked for, words about them, and wants without end."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.rounds = 20

    def receive(self, peer: str, message: Message) -> None:
        self.flood(peer)

    def flood(self, peer: str) -> None:
        if not self.rounds or peer not in self.connections:
            return
        self.rounds -= 1
        n = self.rounds * 1000
        names = [f"none{n + i}:9" for i in range(400)]
        data = Painted(f"unasked{n}", 5000)
        # The first rounds are within what is let pass of everyone.
        blocks = [("?", data)] if self.rounds < 15 else []
        self.transmit(
            peer,
            Message(want_blocks=names, want_haves=[*self.dag.blocks], haves=names, dont_haves=names, blocks=blocks),
        )
        self.world.after(0.05, lambda: self.flood(peer))


def drawn(world: World, name: str, dag, **options) -> Liar:
    kind = world.dice.choice([WrongBytes, FalseHaver, Staller, Flooder])
    return kind(world, name, dag, **options)
