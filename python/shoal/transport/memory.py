"""Transport inside one process: two bounded queues for each stream, no socket, no thread, no dice.

For tests and simulated worlds: under trio's virtual clock the same program runs the same way each time. Nodes that are to
meet share one `MemoryTransport`, which is their network. The one rule: it does nothing that TCP would not do.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from shoal.errors import CannotListen, ConnectionLost, DialTimeout, InvalidAddress, StreamClosed, Unreachable
from shoal.transport.address import peer_of
from shoal.transport.base import RECEIVE_BYTES, ListenerStatistics, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryListener", "MemoryStream", "MemoryTransport"]

QUEUE_BYTES: Final = 256 * 1024
"""What is under way in one direction at most, as between two sockets: more, and a sender would not feel that nobody reads."""
BACKLOG: Final = 128
"""Connections that wait to be accepted, as with TCP."""
NUMBER_MAX: Final = 2**32 - 1


class _Signal:
    """Wakes whoever waits for a change."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    async def wait(self) -> None:
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()

    def set(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None


class _Queue:
    """One direction of a stream. Bytes can be received `delay` seconds after they were sent."""

    def __init__(self, delay: float, bytes_max: int) -> None:
        self.delay = delay
        self.room = bytes_max
        self.parts: deque[tuple[float, bytearray]] = deque()
        self.changed = _Signal()
        self.has_ended = False
        self.end_at = 0.0
        self.is_reset = False
        """Broken by the sending end; what is inside is lost."""
        self.is_abandoned = False
        """Nobody will receive any more."""

    def put(self, data: memoryview) -> int:
        """Takes what there is room for."""
        size = min(self.room, len(data))
        if size:
            self.room -= size
            due = anyio.current_time() + self.delay if self.delay else 0.0
            if self.parts and self.parts[-1][0] == due:
                # Many small sends are not many objects.
                self.parts[-1][1].extend(data[:size])
            else:
                self.parts.append((due, bytearray(data[:size])))
            self.changed.set()
        return size

    def take(self, bytes_max: int) -> bytes:
        """What has arrived; empty where nothing has."""
        now = anyio.current_time()
        taken = bytearray()
        while self.parts and self.parts[0][0] <= now and (lacking := bytes_max - len(taken)):
            part = self.parts[0][1]
            taken += part[:lacking]
            del part[:lacking]
            if not part:
                self.parts.popleft()
        if taken:
            self.room += len(taken)
            self.changed.set()
        return bytes(taken)

    def end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self.end_at = anyio.current_time() + self.delay
            self.changed.set()

    def due(self) -> float | None:
        """When there is something to receive, be it the end; None where only a change can bring it."""
        if self.parts:
            return self.parts[0][0]
        return self.end_at if self.has_ended else None


class MemoryStream:
    """A `Stream` over two queues."""

    def __init__(self, local: str, remote: str, incoming: _Queue, outgoing: _Queue) -> None:
        self.local = local
        self.remote = remote
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_closed = False
        self._cut_off = False
        self._sending = anyio.ResourceGuard("sending to")
        self._receiving = anyio.ResourceGuard("reading from")

    def __repr__(self) -> str:
        return f"<MemoryStream {self.local} to {self.remote}{', closed' if self._is_closed else ''}>"

    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes is 1 or more")
        queue = self._incoming
        with self._receiving:
            await anyio.lowlevel.checkpoint()
            while True:
                self._check_open()
                if queue.is_reset:
                    raise self._lost()
                if data := queue.take(max_bytes):
                    return data
                due = queue.due()
                if due is None:
                    await queue.changed.wait()
                elif queue.has_ended and not queue.parts and due <= anyio.current_time():
                    return b""
                else:
                    with anyio.move_on_at(due):
                        await queue.changed.wait()

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        queue = self._outgoing
        with self._sending, memoryview(data) as given, given.cast("B") as view:
            await anyio.lowlevel.checkpoint()
            self._check_may_send()
            sent = 0
            while sent < len(view):
                self._check_open()
                if queue.is_abandoned or queue.is_reset:
                    raise self._lost()
                with view[sent:] as rest:
                    size = queue.put(rest)
                sent += size
                self._cut_off = 0 < sent < len(view)
                if not size:
                    await queue.changed.wait()

    async def end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._check_may_send()
        if self._outgoing.is_reset:
            raise self._lost()
        self._outgoing.end()

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._cut_off or self._incoming.parts:
            self._outgoing.is_reset = True
        else:
            self._outgoing.end()
        self._incoming.is_abandoned = True
        self._incoming.parts.clear()
        for queue in (self._incoming, self._outgoing):
            queue.changed.set()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StreamClosed(f"the connection to {self.remote} was closed on this side; dial again to go on")

    def _check_may_send(self) -> None:
        self._check_open()
        if self._cut_off:
            raise ConnectionLost(f"an earlier send to {self.remote} was cut off in the middle; dial again to go on")
        if self._outgoing.has_ended:
            raise self._lost()

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self.remote} broke; dial again to go on")


class MemoryListener:
    """A `Listener` in a `MemoryTransport`."""

    def __init__(self, number: int, forget: Callable[[], None]) -> None:
        self._number = number
        self._forget = forget
        self._waiting: deque[MemoryStream] = deque()
        self._changed = _Signal()
        self._is_closed = False
        self._accepted = 0

    @property
    def addresses(self) -> list[str]:
        return [f"/memory/{self._number}"]

    def statistics(self) -> ListenerStatistics:
        return ListenerStatistics(accepted=self._accepted, aborted=0, starved=0)

    async def accept(self) -> MemoryStream:
        await anyio.lowlevel.checkpoint()
        while not self._is_closed:
            if self._waiting:
                self._accepted += 1
                self._changed.set()
                return self._waiting.popleft()
            await self._changed.wait()
        raise StreamClosed(f"nothing listens on /memory/{self._number} any more: it was closed on this side")

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._forget()
        for stream in self._waiting:
            stream._outgoing.is_reset = True
            await stream.aclose()
        self._waiting.clear()
        self._changed.set()

    async def _connect(self, stream: MemoryStream) -> None:
        """Waits until there is room for one more to wait."""
        while len(self._waiting) >= BACKLOG and not self._is_closed:
            await self._changed.wait()
        if self._is_closed:
            raise _nobody(f"/memory/{self._number}")
        self._waiting.append(stream)
        self._changed.set()


class MemoryTransport:
    """A network of its own: listeners by number. Every stream in it has the same delay, in seconds, each way.

    With a delay, one direction of a stream carries at most `queue_bytes` per `delay`, as a socket with such a buffer would.
    """

    def __init__(self, *, delay: float = 0.0, queue_bytes: int = QUEUE_BYTES) -> None:
        self._delay = delay
        self._queue_bytes = queue_bytes
        self._listeners: dict[int, MemoryListener] = {}
        self._next = 1

    def dials(self, address: str) -> bool:
        try:
            return _number(address) > 0
        except InvalidAddress:
            return False

    async def dial(self, address: str, *, timeout: float) -> MemoryStream:  # noqa: ASYNC109 - the error tells it
        number = _number(address)
        place = f"/memory/{number}"
        if not number:
            raise InvalidAddress("nobody can be dialled at /memory/0: it stands for any number")
        with anyio.move_on_after(timeout):
            # One round trip, as with TCP.
            await anyio.sleep(2 * self._delay)
            listener = self._listeners.get(number)
            if listener is None:
                raise _nobody(place)
            there, back = (_Queue(self._delay, self._queue_bytes) for _ in range(2))
            local = f"/memory/{self._free()}"
            await listener._connect(MemoryStream(place, local, there, back))
            return MemoryStream(local, place, back, there)
        raise DialTimeout(f"{place} did not answer within {timeout:g} s: it accepts nobody")

    async def listen(self, address: str) -> MemoryListener:
        await anyio.lowlevel.checkpoint()
        if peer_of(address)[1] is not None:
            raise InvalidAddress("to listen, leave out the /p2p/… at the end: whoever listens is this node")
        number = _number(address) or self._free()
        if number in self._listeners:
            raise CannotListen(f"/memory/{number} is in use; /memory/0 takes a free number")
        listener = MemoryListener(number, functools.partial(self._listeners.__delitem__, number))
        self._listeners[number] = listener
        return listener

    def _free(self) -> int:
        while self._next in self._listeners:
            self._next += 1
        self._next += 1
        return self._next - 1


def _number(address: str) -> int:
    place, _ = peer_of(address)
    digits = place.removeprefix("/memory/")
    canonical = digits.isascii() and digits.isdigit() and len(digits) <= 10 and (digits[0] != "0" or digits == "0")
    if place == digits or not canonical or int(digits) > NUMBER_MAX:
        raise InvalidAddress(f"not an address in memory: that is /memory/ and a number from 0 to {NUMBER_MAX}")
    return int(digits)


def _nobody(place: str) -> Unreachable:
    return Unreachable(f"nobody listens at {place}; is that node running, on the same MemoryTransport?")


if TYPE_CHECKING:
    # For the type checker to hold it to the contract.
    _kept: Transport = MemoryTransport()
