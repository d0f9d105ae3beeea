"""Several addresses of one peer: in which order and when each is tried, who wins, and that nothing is left. Under a virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest
import trio
import trio.testing

from shoal.errors import ConnectionLost, InvalidAddress, Unreachable
from shoal.transport.dial import ADDRESSES_MAX, AT_ONCE_MAX, dial_any, in_order, race
from shoal.transport.memory import MemoryTransport
from shoal.transport.tcp import TcpTransport

NEVER = 1e9


@dataclass
class Network:
    """Addresses that answer, or fail, so many seconds after they are tried."""

    answers: dict[str, float] = field(default_factory=dict)
    fails: dict[str, float] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    most_at_once: int = 0
    discarded: list[str] = field(default_factory=list)

    async def attempt(self, address: str) -> str:
        self.begun[address] = round(anyio.current_time() - self.start, 3)
        self.under_way.add(address)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            if address in self.answers:
                await anyio.sleep(self.answers[address])
                return address
            await anyio.sleep(self.fails.get(address, NEVER))
            raise Unreachable(f"{address} is not there")
        finally:
            self.under_way.discard(address)

    async def discard(self, made: str) -> None:
        self.discarded.append(made)

    def race(self, addresses, **options):
        """Its winner or its error, and how long it took."""

        async def main():
            self.start = anyio.current_time()
            try:
                result = await race(addresses, self.attempt, self.discard, **options)
            except Unreachable as error:
                result = error
            assert not self.under_way, "whatever was begun is ended"
            return result, round(anyio.current_time() - self.start, 3)

        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def four(number: int) -> str:
    return f"/ip4/8.8.8.{number}/tcp/1"


ALL = [four(number) for number in range(1, 40)]


def test_the_nearest_come_first_and_families_in_turns():
    given = [
        "/dns4/example.com/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/8.8.4.4/tcp/1",
        "/ip6/2606:4700::1/tcp/1",
        "/ip4/192.168.0.1/tcp/1",
        "/ip6/fd00::1/tcp/1",
        "/ip6zone/eth0/ip6/fe80::1/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/ip6/::1/tcp/1",
    ]
    assert in_order(given) == [
        "/ip6/::1/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip6zone/eth0/ip6/fe80::1/tcp/1",
        "/ip6/fd00::1/tcp/1",
        "/ip4/192.168.0.1/tcp/1",
        "/ip6/2606:4700::1/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/8.8.4.4/tcp/1",
        "/dns4/example.com/tcp/1",
    ]


@pytest.mark.parametrize("count", [ADDRESSES_MAX - 1, ADDRESSES_MAX, ADDRESSES_MAX + 1])
def test_at_most_so_many_are_tried(count):
    assert len(in_order(ALL[:count])) == min(count, ADDRESSES_MAX)


def test_the_nearest_of_many_is_found():
    assert in_order([*ALL, "/ip4/127.0.0.1/tcp/1"])[0] == "/ip4/127.0.0.1/tcp/1"


def test_endless_addresses_are_not_read_to_their_end():
    def endless():
        number = 0
        while True:
            number += 1
            yield f"/memory/{number}"

    assert len(in_order(endless())) == ADDRESSES_MAX


def test_each_has_its_head_start_before_the_next():
    network = Network(answers={ALL[2]: 0.1})
    assert network.race(ALL[:5]) == (ALL[2], 0.6)
    assert network.begun == {ALL[0]: 0.0, ALL[1]: 0.25, ALL[2]: 0.5}


def test_one_that_fails_gives_way_at_once():
    network = Network(answers={ALL[2]: 0.1}, fails={ALL[0]: 0.01, ALL[1]: 0.02})
    assert network.race(ALL[:3]) == (ALL[2], 0.13)


def test_an_earlier_one_can_still_win():
    network = Network(answers={ALL[0]: 1.0, ALL[1]: 5.0})
    assert network.race(ALL[:2]) == (ALL[0], 1.0)


def test_only_so_many_are_tried_at_once():
    network = Network(answers={ALL[20]: 0.1}, fails=dict.fromkeys(ALL[:20], 5.0))
    result, _ = network.race(ALL[:21])
    assert result == ALL[20]
    assert network.most_at_once == AT_ONCE_MAX


def test_two_that_answer_at_the_same_time_leave_one():
    network = Network(answers={ALL[0]: 0.5, ALL[1]: 0.25})
    result, _ = network.race(ALL[:2])
    assert {result, *network.discarded} <= set(ALL[:2])
    assert len(network.discarded) <= 1
    assert result not in network.discarded


def test_a_failure_says_of_every_address_what_was_wrong_with_it():
    network = Network(fails={ALL[0]: 0.1, ALL[1]: 0.2})
    error, seconds = network.race(ALL[:3], timeout=7)
    assert seconds == 7
    assert error.reasons == {
        ALL[0]: f"{ALL[0]} is not there",
        ALL[1]: f"{ALL[1]} is not there",
        ALL[2]: "no answer within 7 s",
    }
    assert all(reason in str(error) for reason in error.reasons.values())
    assert "any of its 3 addresses" in str(error)


def test_without_addresses_it_says_what_to_give():
    error, seconds = Network().race([])
    assert "give one, or a ticket" in str(error)
    assert (seconds, error.exit_code) == (0, 4)


def test_a_strangers_bytes_are_not_repeated():
    async def main():
        with pytest.raises(Unreachable) as caught:
            await dial_any(["/\x1b[31m", "/é", "x" * 300], [TcpTransport()])
        assert caught.value.reasons == {"an address that is none": "no transport of this node dials such an address"}

    anyio.run(main)


def test_an_error_that_is_not_about_an_address_ends_the_race():
    async def attempt(address: str) -> str:
        raise RuntimeError("a mistake")

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:
            await race(ALL[:3], attempt, lambda _: anyio.lowlevel.checkpoint())
        assert caught.group_contains(RuntimeError)

    anyio.run(main)


def test_whatever_was_made_is_given_back_when_the_caller_is_cancelled():
    async def main():
        network = Network()
        network.start = anyio.current_time()
        with anyio.CancelScope() as scope:

            async def attempt(address: str) -> str:
                scope.cancel()
                return address

            await race(ALL[:2], attempt, network.discard)
        assert scope.cancelled_caught
        assert network.discarded == [ALL[0]]

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)


def test_a_cancelled_race_leaves_nothing_under_way():
    async def main():
        network = Network()
        network.start = anyio.current_time()
        with anyio.move_on_after(1) as scope:
            await race(ALL[:8], network.attempt, network.discard)
        assert scope.cancelled_caught
        assert len(network.begun) >= 4
        assert not network.under_way

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_streams_of_several_transports_are_dialled(backend):
    async def main():
        memory, tcp = MemoryTransport(), TcpTransport()
        listener = await memory.listen("/memory/5")
        stream = await dial_any(["/ip4/127.0.0.1/tcp/1", "/memory/9", "/memory/5", "/udp/1"], [tcp, memory])
        assert stream.remote == "/memory/5"
        await stream.aclose()
        await listener.aclose()

    anyio.run(main, backend=backend)


def test_what_happens_after_the_dial_can_be_part_of_the_race():
    async def main():
        memory = MemoryTransport()
        wrong, right = await memory.listen("/memory/1"), await memory.listen("/memory/2")

        async def attempt(address: str):
            stream = await memory.dial(address, timeout=1)
            if address == "/memory/1":
                await stream.aclose()
                raise ConnectionLost("somebody else answered")
            return stream

        async def discard(stream) -> None:
            await stream.aclose()

        stream = await race(["/memory/1", "/memory/2"], attempt, discard)
        assert stream.remote == "/memory/2"
        for each in (stream, wrong, right):
            await each.aclose()

    anyio.run(main)


def test_an_address_of_no_transport_is_a_reason():
    async def main():
        with pytest.raises(Unreachable, match="no transport"):
            await dial_any(["/dns4/example.com/tcp/1"], [TcpTransport()])

    anyio.run(main)
    assert issubclass(InvalidAddress, ValueError)
