"""The stream on which a peer's messages come.

The story of the first test: fetches from three nodes ended after 30 s with "nobody said that it has it", though two were there and
well. A reader takes one long message at a time (4 MiB); while a fetch was busy storing, more than that had gathered on a stream.
What was left after one reading was never read: the machine tells of bytes only where there were none before.
"""

from __future__ import annotations

import anyio
import pytest

from shoal.exchange import link
from shoal.exchange.message import Message

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


class Reader:
    """Has some messages, and gives one at a time."""

    waiting: list[Message]
    is_ended = False

    def read(self, machine: object, stream: int, now: float) -> tuple[list[tuple[object, ...]], bool, int]:
        if not self.waiting:
            return [], self.is_ended, 0
        message = self.waiting.pop(0)
        return [tuple(message)], self.is_ended and not self.waiting, 1000


class Peer:
    machine = None

    def __init__(self) -> None:
        self.calls: list[str] = []

    def progress(self) -> None:
        self.calls.append("progress")

    def finish(self, stream: int) -> None:
        self.calls.append("finish")

    def forget(self, stream: int) -> None:
        self.calls.append("forget")


class Exchanger:
    """Takes so many messages, and has no room for more until it is told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.received_wants: list[object] = []
        self.refused = 0

    def may_read(self, inbound: link.Inbound) -> bool:
        self.refused += self.room == 0
        return self.room > 0

    def received(self, _link: link.Link, message: Message) -> None:
        self.room -= 1
        self.received_wants += message.want_blocks

    def coming(self, _link: link.Link, size: int) -> None:
        raise AssertionError("each reading gave a whole message")


@pytest.fixture
def inbound(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> link.Inbound:
    monkeypatch.setattr(link, "BitswapReader", Reader)
    made = link.Inbound(None, Peer(), 5, Exchanger(100))  # type: ignore[arg-type]
    made._reader.waiting = [Message(want_blocks=[number]) for number in range(4)]  # type: ignore[list-item]
    return made


async def test_all_that_has_gathered_is_read_at_one_word_of_it(inbound, anyio_backend):
    inbound.readable()
    assert inbound._exchanger.received_wants == [0, 1, 2, 3]


async def test_reading_ends_where_there_is_no_room_and_goes_on_from_there(inbound, anyio_backend):
    exchanger = inbound._exchanger
    exchanger.room = 2
    inbound.readable()
    assert (exchanger.received_wants, exchanger.refused) == ([0, 1], 1)
    exchanger.room = 100
    inbound.readable()
    assert exchanger.received_wants == [0, 1, 2, 3]


async def test_the_end_of_the_stream_comes_after_its_last_message_and_once(inbound, anyio_backend):
    inbound._reader.is_ended = True
    inbound.readable()
    inbound.readable()
    await anyio.lowlevel.checkpoint()
    assert inbound._exchanger.received_wants == [0, 1, 2, 3]
    assert [call for call in inbound._peer.calls if call != "progress"] == ["finish", "forget"]


class OutPeer:
    """A peer of whom our streams are counted."""

    id = "peer"
    is_open = True

    def __init__(self) -> None:
        self.opened = 0
        self.written: list[bytes] = []
        self.room = True

    def open(self, protocols: object, user: object) -> int:
        self.opened += 1
        return self.opened

    def write(self, stream: int, data: bytes, offset: int) -> int | None:
        if not self.room:
            return None
        self.written.append(data[offset:])
        return len(data) - offset

    def read(self, stream: int, bytes_max: int) -> tuple[bytes, bool]:
        return b"", True

    def forget(self, stream: int, *, reset: bool = False) -> None:
        raise AssertionError("our stream was given up")


class Watcher:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def written(self, _link: link.Link, size: int) -> None:
        self.heard.append(f"written {size}")

    def interrupted(self, _link: link.Link) -> None:
        self.heard.append("interrupted")

    def lost(self, _link: link.Link, reason: str) -> None:
        self.heard.append("lost")


@pytest.fixture
def outgoing() -> link.Link:
    return link.Link(OutPeer(), Watcher())  # type: ignore[arg-type]


async def test_a_peer_that_ends_its_direction_of_our_stream_is_still_written_to(outgoing, anyio_backend):
    """Helia does so at once: taken for the end of ours, nothing could be fetched from it."""
    outgoing.send_blocks(b"one", 3)
    outgoing.opened("/ipfs/bitswap/1.2.0")
    outgoing.readable()
    outgoing.send_blocks(b"two", 3)
    assert (outgoing.peer.opened, outgoing.peer.written) == (1, [b"one", b"two"])


async def test_a_stream_that_is_reset_while_it_rests_is_replaced_without_a_word(outgoing, anyio_backend, monkeypatch):
    """Helia resets what was idle for 5 s, as often as that happens."""
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.0)
    for number in range(3 * link.INTERRUPTIONS_MAX):
        outgoing.send_blocks(b"%d" % number, 1)
        outgoing.opened("/ipfs/bitswap/1.2.0")
        outgoing.gone("reset")
    assert set(outgoing._exchanger.heard) == {"written 1"}
    assert outgoing.peer.opened == 3 * link.INTERRUPTIONS_MAX


async def test_one_that_is_reset_with_something_unsent_or_just_sent_is_an_interruption(
    outgoing, anyio_backend, monkeypatch
):
    outgoing.send_blocks(b"one", 1)
    outgoing.opened("/ipfs/bitswap/1.2.0")
    outgoing.gone("reset")
    assert outgoing._exchanger.heard == ["written 1", "interrupted"]
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.0)
    outgoing.peer.room = False
    outgoing.send_blocks(b"two", 1)
    outgoing.opened("/ipfs/bitswap/1.2.0")
    outgoing.gone("reset")
    assert outgoing._exchanger.heard[2:] == ["interrupted"]
    outgoing.send_blocks(b"three", 1)
    outgoing.gone("the peer speaks no such protocol")
    assert outgoing._exchanger.heard[3:] == ["lost"]
