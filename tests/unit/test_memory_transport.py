"""What only the transport in memory can be asked: bounds to the byte, delays under a virtual clock, the same run twice."""

from __future__ import annotations

import anyio
import pytest
import trio
import trio.testing

from shoal.errors import DialTimeout, InvalidAddress, Unreachable
from shoal.transport.memory import QUEUE_BYTES, MemoryTransport

KIB = 1024


def run(function):
    return trio.run(function, clock=trio.testing.MockClock(autojump_threshold=0))


async def pair(transport):
    listener = await transport.listen("/memory/7")
    one = await transport.dial("/memory/7", timeout=10)
    return one, await listener.accept()


@pytest.mark.parametrize("size", [QUEUE_BYTES - 1, QUEUE_BYTES, QUEUE_BYTES + 1])
def test_a_sender_waits_for_exactly_what_the_queue_does_not_hold(size):
    async def main():
        one, _ = await pair(MemoryTransport())
        with anyio.move_on_after(1) as scope:
            await one.send(bytes(size))
        assert scope.cancelled_caught == (size > QUEUE_BYTES)

    run(main)


def test_many_small_sends_take_no_more_room_than_one_large():
    async def main():
        one, other = await pair(MemoryTransport())
        for _ in range(1000):
            await one.send(b"x")
        assert len(other._incoming.parts) == 1

    run(main)


def test_bytes_and_ends_arrive_when_their_delay_is_over():
    async def main():
        transport = MemoryTransport(delay=3)
        began = anyio.current_time()
        one, other = await pair(transport)
        assert anyio.current_time() - began == 6
        await one.send(b"a")
        await anyio.sleep(1)
        await one.send(b"b")
        await one.end()
        assert await other.receive() == b"a"
        assert anyio.current_time() - began == 9
        assert await other.receive() == b"b"
        assert await other.receive() == b""
        assert anyio.current_time() - began == 10

    run(main)


def test_a_dial_to_nobody_takes_a_round_trip_and_a_full_backlog_its_time_out():
    async def main():
        transport = MemoryTransport(delay=1)
        began = anyio.current_time()
        with pytest.raises(Unreachable, match="nobody listens at /memory/7"):
            await transport.dial("/memory/7", timeout=10)
        assert anyio.current_time() - began == 2
        with pytest.raises(DialTimeout, match="within 1.5 s"):
            await transport.dial("/memory/7", timeout=1.5)

    run(main)


def test_free_numbers_are_given_in_order():
    async def main():
        transport = MemoryTransport()
        first = await transport.listen("/memory/0")
        second = await transport.listen("/memory/2")
        third = await transport.listen("/memory/0")
        assert [listener.addresses for listener in (first, second, third)] == [
            ["/memory/1"],
            ["/memory/2"],
            ["/memory/3"],
        ]

    run(main)


@pytest.mark.parametrize(
    "address",
    [
        "/memory/",
        "/memory/01",
        "/memory/-1",
        "/memory/4294967296",
        "/memory/1/2",
        "memory/1",
        "/memory/٣",
        "/memory/99999999999",
    ],
)
def test_addresses_in_memory_have_one_text(address):
    assert not MemoryTransport().dials(address)

    async def main():
        with pytest.raises(InvalidAddress, match="/memory/ and a number"):
            await MemoryTransport().listen(address)

    run(main)


def test_the_largest_number_can_be_listened_on():
    async def main():
        transport = MemoryTransport()
        assert (await transport.listen("/memory/4294967295")).addresses == ["/memory/4294967295"]
        assert transport.dials("/memory/4294967295")

    run(main)
