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
