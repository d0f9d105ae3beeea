"""What any transport must do: bytes whole and in order, both ends at once, ends and breaks told apart, nothing lost or left.

TCP over IPv4 and IPv6, and memory, run the same suite on asyncio and on trio. What only TCP can be asked is in
`tests/system/test_tcp.py`, what only memory can in `tests/unit/test_memory_transport.py`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil
import pytest

from shoal.errors import CannotListen, ConnectionLost, DialTimeout, InvalidAddress, StreamClosed, Unreachable
from shoal.transport.base import Listener, Stream, Transport
from shoal.transport.memory import MemoryTransport
from shoal.transport.tcp import TcpTransport

KIB = 1024
QUICK = 5.0

pytestmark = [pytest.mark.anyio]

LISTEN = {"tcp4": "/ip4/127.0.0.1/tcp/0", "tcp6": "/ip6/::1/tcp/0", "memory": "/memory/0"}


@pytest.fixture(params=list(LISTEN))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def transport(kind: str) -> Transport:
    return MemoryTransport() if kind == "memory" else TcpTransport()


@pytest.fixture
async def listener(transport: Transport, kind: str, anyio_backend: str) -> AsyncIterator[Listener]:
    listener = await transport.listen(LISTEN[kind])
    yield listener
    await listener.aclose()


@asynccontextmanager
async def pair(transport: Transport, listener: Listener) -> AsyncIterator[tuple[Stream, Stream]]:
    """The dialling end and the accepting one."""
    dialled = await transport.dial(listener.addresses[0], timeout=QUICK)
    accepted = await listener.accept()
    try:
        yield dialled, accepted
    finally:
        await dialled.aclose()
        await accepted.aclose()


@pytest.fixture
async def ends(transport: Transport, listener: Listener) -> AsyncIterator[tuple[Stream, Stream]]:
    with anyio.fail_after(60):
        async with pair(transport, listener) as both:
            yield both


def painted(size: int) -> bytes:
    """Position i holds a byte that depends on i, with a period that no buffer has."""
    return bytes(i * 7 % 251 for i in range(min(size, 251))) * (size // 251 + 1) if size else b""


def exactly(size: int) -> bytes:
    return painted(size)[:size]


async def receive_all(stream: Stream, max_bytes: int = 256 * KIB) -> bytes:
    parts = []
    while part := await stream.receive(max_bytes):
        assert 0 < len(part) <= max_bytes
        parts.append(part)
    return b"".join(parts)


async def send_and_end(stream: Stream, *parts: bytes) -> None:
    for part in parts:
        await stream.send(part)
    await stream.end()


# Bytes


@pytest.mark.parametrize("max_bytes", [1, 2, 7, 1023, 1024, 1025, 65536])
async def test_bytes_arrive_whole_and_in_order_at_every_size_of_read(ends, max_bytes):
    one, other = ends
    data = exactly(3000 if max_bytes < 100 else 1_000_003)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_and_end, one, data)
        assert await receive_all(other, max_bytes) == data


async def test_bytes_arrive_whole_wherever_they_are_split_by_the_sender(ends):
    one, other = ends
    data = exactly(600)
    parts = [data[at : at + size] for at, size in zip(range(0, 600, 2), [2] * 300, strict=True)]
    for split in (1, 2, 3, 299, 300, 301, 599):
        parts += [data[:split], data[split:]]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_and_end, one, *parts)
        assert await receive_all(other) == data * 8


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
async def test_any_buffer_can_be_sent_and_is_let_go(ends, make):
    one, other = ends
    owner = bytearray(exactly(4096))
    await one.send(make(owner))
    assert await other.receive() == owner
    gc.collect()
    owner.extend(b"a buffer that is still held cannot grow")


async def test_nothing_can_be_sent(ends):
    one, other = ends
    await one.send(b"")
    await send_and_end(one, b"a")
    assert await receive_all(other) == b"a"


async def test_a_receive_asks_for_at_least_one_byte(ends):
    with pytest.raises(ValueError, match="max_bytes"):
        await ends[0].receive(0)


async def test_both_ends_send_and_receive_at_once(ends):
    data = exactly(4_000_001)
    received = {}

    async def both(name: str, stream: Stream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_and_end, stream, data)
            received[name] = await receive_all(stream)

    async with anyio.create_task_group() as tasks:
        for name, stream in zip("ab", ends, strict=True):
            tasks.start_soon(both, name, stream)
    assert received == {"a": data, "b": data}


async def test_a_receiver_that_always_finds_bytes_lets_others_run(ends):
    one, other = ends
    await one.send(bytes(1000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        for _ in range(1000):
            await other.receive(1)
        tasks.cancel_scope.cancel()
    assert turns > 500


async def test_a_peer_that_does_not_read_stops_the_sender(ends):
    one, _ = ends
    sent = 0
    with anyio.move_on_after(0.5) as scope:
        while True:
            await one.send(bytes(64 * KIB))
            sent += 64 * KIB
    assert scope.cancelled_caught
    # What the kernel takes depends on its settings; it is some MiB.
    assert sent < 64 * KIB * KIB


# Ends


async def test_an_end_in_one_direction_leaves_the_other_open(ends):
    one, other = ends
    await send_and_end(one, b"question")
    assert await receive_all(other) == b"question"
    assert await other.receive() == b""
    await send_and_end(other, b"answer")
    assert await receive_all(one) == b"answer"


async def test_what_was_sent_before_closing_is_received(ends):
    one, other = ends
    await one.send(exactly(100_000))
    await one.aclose()
    assert await receive_all(other) == exactly(100_000)
    assert await other.receive() == b""


async def test_sending_to_a_peer_that_is_gone_is_an_error(ends):
    one, other = ends
    await other.aclose()
    with pytest.raises(ConnectionLost, match="broke.*dial again"):
        while True:
            await one.send(bytes(64 * KIB))
            await anyio.sleep(0.001)


async def test_a_peer_that_closes_without_reading_breaks_the_stream(ends):
    one, other = ends
    await one.send(b"unread")
    await anyio.sleep(0.01)
    await other.aclose()
    with pytest.raises(ConnectionLost) as caught:
        while await one.receive():
            pass
    assert isinstance(caught.value, ConnectionError)


async def test_sending_after_the_end_is_an_error(ends):
    one, _ = ends
    await one.end()
    with pytest.raises(ConnectionLost):
        await one.send(b"more")


@pytest.mark.parametrize("how", ["receive", "send", "end"])
async def test_a_closed_stream_says_so(ends, how):
    one, _ = ends
    await one.aclose()
    await one.aclose()
    with pytest.raises(StreamClosed, match="closed on this side"):
        await {"receive": one.receive, "send": lambda: one.send(b"x"), "end": one.end}[how]()


async def test_closing_wakes_who_receives_and_who_sends(ends):
    one, _ = ends
    woken = []

    async def wait(name: str, call) -> None:
        with pytest.raises(StreamClosed):
            while True:
                await call()
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "receive", one.receive)
        tasks.start_soon(wait, "send", lambda: one.send(bytes(1 << 20)))
        await anyio.sleep(0.05)
        await one.aclose()
    assert sorted(woken) == ["receive", "send"]


async def test_closing_works_in_a_task_that_is_being_cancelled(ends):
    one, other = ends
    with anyio.CancelScope() as scope:
        scope.cancel()
        await one.aclose()
    assert await other.receive() == b""


async def test_two_that_receive_at_once_are_a_mistake(ends):
    one, _ = ends
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.receive)
        await anyio.sleep(0.01)
        with pytest.raises(anyio.BusyResourceError):
            await one.receive()
        tasks.cancel_scope.cancel()


# Cancellation


async def test_a_cancelled_receive_has_taken_nothing(ends):
    one, other = ends
    data = exactly(200_000)
    received = b""
    async with anyio.create_task_group() as tasks:

        async def send_slowly() -> None:
            for at in range(0, len(data), 1000):
                await one.send(data[at : at + 1000])
                await anyio.sleep(0)
            await one.end()

        tasks.start_soon(send_slowly)
        ended, tries = False, 0
        while not ended:
            tries += 1
            # A deadline that passes at another place each time, or at once.
            with anyio.move_on_after(tries % 7 * 0.0001):
                part = await other.receive(777)
                received += part
                ended = not part
    assert received == data


async def test_a_receive_in_a_cancelled_scope_takes_nothing(ends):
    one, other = ends
    await one.send(b"kept")
    await anyio.sleep(0.01)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await other.receive()
    assert scope.cancelled_caught
    assert await other.receive() == b"kept"


async def test_a_send_that_is_cut_off_breaks_the_stream_for_both(ends):
    one, other = ends
    with anyio.move_on_after(0.1) as scope:
        await one.send(bytes(1 << 26))
    assert scope.cancelled_caught
    for call in (lambda: one.send(b"more"), one.end):
        with pytest.raises(ConnectionLost, match="cut off in the middle"):
            await call()
    await other.send(b"the other way goes on")
    assert await one.receive() == b"the other way goes on"
    await one.aclose()
    # The other end is not told that this was all.
    with pytest.raises(ConnectionLost):
        await receive_all(other)


async def test_a_stream_closed_in_the_middle_of_a_send_breaks_it_for_the_other_end(ends):
    one, other = ends

    async def send() -> None:
        with pytest.raises(StreamClosed):
            await one.send(bytes(1 << 26))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.sleep(0.05)
        await one.aclose()
    with pytest.raises(ConnectionLost):
        await receive_all(other)


async def test_a_send_cancelled_before_its_first_byte_changes_nothing(ends):
    one, other = ends
    with anyio.CancelScope() as scope:
        scope.cancel()
        await one.send(b"never")
    await send_and_end(one, b"sent")
    assert await receive_all(other) == b"sent"


async def test_a_cancelled_accept_has_taken_nobody(transport, listener):
    for _ in range(5):
        with anyio.move_on_after(0.001):
            await listener.accept()
    async with pair(transport, listener) as (one, other):
        await one.send(b"x")
        assert await other.receive() == b"x"
    assert listener.statistics().accepted == 1


# Dialling and listening


async def test_each_end_knows_where_it_and_the_other_are(ends, listener):
    one, other = ends
    assert one.remote == other.local == listener.addresses[0]
    assert one.local == other.remote


async def test_a_peer_id_in_the_address_is_no_hindrance(transport, listener):
    address = listener.addresses[0] + "/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    assert transport.dials(address)
    stream = await transport.dial(address, timeout=QUICK)
    assert stream.remote == listener.addresses[0]
    await stream.aclose()
    with pytest.raises(InvalidAddress, match="leave out"):
        await transport.listen(address)


async def test_nobody_is_there(transport, listener):
    address = listener.addresses[0]
    await listener.aclose()
    with pytest.raises(Unreachable) as caught:
        await transport.dial(address, timeout=QUICK)
    assert address in str(caught.value)
    assert caught.value.exit_code == 4
    assert isinstance(caught.value, ConnectionError)
    assert not isinstance(caught.value, TimeoutError)


async def test_a_listener_that_never_accepts_ends_in_a_time_out(transport, listener):
    streams = []
    try:
        with pytest.raises(DialTimeout, match="did not answer within 0.2 s"):
            for _ in range(1200):
                streams.append(await transport.dial(listener.addresses[0], timeout=0.2))
    finally:
        for stream in streams:
            await stream.aclose()
    assert len(streams) >= 100


async def test_a_dial_can_be_cancelled(transport, listener):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await transport.dial(listener.addresses[0], timeout=QUICK)
    assert scope.cancelled_caught


async def test_an_address_is_listened_on_once(transport, listener):
    with pytest.raises(CannotListen, match="takes a free"):
        await transport.listen(listener.addresses[0])


async def test_an_address_can_be_had_again_after_closing(transport, listener):
    address = listener.addresses[0]
    async with pair(transport, listener):
        await listener.aclose()
        again = await transport.listen(address)
        async with pair(transport, again) as (one, other):
            await one.send(b"x")
            assert await other.receive() == b"x"
        await again.aclose()


async def test_accepted_streams_outlive_their_listener(transport, listener):
    async with pair(transport, listener) as (one, other):
        await listener.aclose()
        await send_and_end(one, b"x")
        assert await receive_all(other) == b"x"


async def test_closing_a_listener_wakes_who_accepts(listener):
    async def wait() -> None:
        with pytest.raises(StreamClosed, match="closed on this side"):
            await listener.accept()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.02)
        await listener.aclose()
        await listener.aclose()


async def test_who_was_not_accepted_yet_is_told_when_the_listener_closes(transport, listener):
    stream = await transport.dial(listener.addresses[0], timeout=QUICK)
    await listener.aclose()
    with pytest.raises(ConnectionLost), anyio.fail_after(QUICK):
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.001)
    await stream.aclose()


@pytest.mark.parametrize(
    "address", ["", "/", "tcp", "/ip4/1.2.3.4/udp/1/quic-v1", "/dns4/example.com/tcp/1", "/unix/a"]
)
async def test_an_address_of_another_kind_is_refused(transport, address):
    assert not transport.dials(address)
    with pytest.raises(InvalidAddress):
        await transport.dial(address, timeout=QUICK)
    with pytest.raises(InvalidAddress):
        await transport.listen(address)


async def test_nobody_is_dialled_at_a_place_that_stands_for_any(transport, kind):
    assert not transport.dials(LISTEN[kind])
    with pytest.raises(InvalidAddress, match="stands for any"):
        await transport.dial(LISTEN[kind], timeout=QUICK)


# Many, and nothing left


async def test_two_hundred_connections_at_once(transport, listener):
    replies: list[bytes] = []

    async def serve(stream: Stream) -> None:
        await send_and_end(stream, (await receive_all(stream))[::-1])
        await stream.aclose()

    async def accept_all() -> None:
        async with anyio.create_task_group() as serving:
            for _ in range(200):
                serving.start_soon(serve, await listener.accept())

    async def ask(number: int) -> None:
        stream = await transport.dial(listener.addresses[0], timeout=30)
        await send_and_end(stream, exactly(number * 31))
        replies.append((await receive_all(stream))[::-1])
        await stream.aclose()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept_all)
            for number in range(200):
                tasks.start_soon(ask, number)
    assert sorted(replies, key=len) == [exactly(number * 31) for number in range(200)]
    assert listener.statistics().accepted == 200


def open_handles() -> int:
    gc.collect()
    return psutil.Process(os.getpid()).num_fds()


async def test_no_handle_is_left(transport, kind):
    async def once() -> None:
        listener = await transport.listen(LISTEN[kind])
        async with pair(transport, listener) as (one, other):
            with anyio.move_on_after(0.001):
                await one.receive()
            await one.send(b"x")
            await other.aclose()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.dial(listener.addresses[0], timeout=QUICK)
        address = listener.addresses[0]
        await listener.aclose()
        with pytest.raises(Unreachable):
            await transport.dial(address, timeout=QUICK)

    await once()
    before = open_handles()
    for _ in range(20):
        await once()
    assert open_handles() == before
