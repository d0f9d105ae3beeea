"""One live connection to a peer: pumps a wire machine over a stream. The only place where wire bytes meet a socket.

Two tasks: one reads and keeps the machine's deadlines, one sends whatever the machine has to say. Everything else is called from
these two, never waits, and must not raise: what happens on a stream is told to its user at once.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, Protocol, TypedDict

import anyio

from shoal._core import Connection
from shoal.errors import ConnectionLost, NetworkError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal._core import Identified, WireConfig, WireEvent
    from shoal.rate import RateLimit
    from shoal.transport.base import Stream

RECEIVE_BYTES: Final = 256 * 1024
"""Read at a time: a system call costs little beside it, and it fits the processor's cache."""
TRANSMIT_BYTES: Final = 256 * 1024
"""Sent at a time: what one stream may have queued."""
SEND_SECONDS: Final = 60.0
"""In which a peer has to take `TRANSMIT_BYTES`: 4 KiB a second. go-yamux gives 10 s to a write of any size."""


class StreamUser(Protocol):
    """Who uses a stream, and is told what happens on it. No call waits."""

    def opened(self, protocol: str) -> None:
        """Our stream is agreed on, and may be written to."""

    def readable(self) -> None:
        """There may be something to read, or the end."""

    def writable(self) -> None:
        """It takes more."""

    def gone(self, reason: str) -> None:
        """It was refused or reset, or the connection is over. Nothing more is heard of it."""


class Handler(Protocol):
    """Who is told of a connection. No call waits."""

    def peer_open(self, peer: Peer) -> None:
        """The peer has proved who it is."""

    def peer_closing(self, peer: Peer) -> None:
        """This side closes it: it is not to be used any more."""

    def peer_identified(self, peer: Peer) -> None:
        """It has said what it is, or that something changed."""

    def peer_stream(self, peer: Peer, stream: int, protocol: str) -> StreamUser | None:
        """It began a stream. None resets it."""


class _Start(TypedDict):
    now: float
    unix_time: float
    secrets: bytes
    observed: str | None


def _start(observed: str | None) -> _Start:
    return {"now": anyio.current_time(), "unix_time": time.time(), "secrets": os.urandom(64), "observed": observed}


class Peer:
    """A connection, from its first byte to its last. `run` it in a task; `id` is known from `Handler.peer_open` on."""

    def __init__(
        self,
        stream: Stream,
        config: WireConfig,
        handler: Handler,
        *,
        is_dialed: bool,
        expected: str | None = None,
        receive_limit: RateLimit | None = None,
        send_limit: RateLimit | None = None,
    ) -> None:
        self.address = stream.remote
        self.is_dialed = is_dialed
        self.id = expected or ""
        self.security = ""
        self.identified: Identified | None = None
        self.opened_at = anyio.current_time()
        self.received_bytes = 0
        self.sent_bytes = 0
        self.end_reason: str | None = None
        """Why it is over; None while it is not."""
        self._stream = stream
        self._handler = handler
        self._receive_limit = receive_limit
        self._send_limit = send_limit
        start = _start(stream.remote if stream.remote.startswith(("/ip4/", "/ip6/")) else None)
        self._machine = Connection.dial(config, expected, start) if is_dialed else Connection.listen(config, start)
        self._users: dict[int, StreamUser] = {}
        self._pings: list[anyio.Event] = []
        self._ping_seconds: float | None = None
        self._to_send = anyio.Event()
        self._may_read = anyio.Event()
        self._is_open = False

    def __repr__(self) -> str:
        state = "closed" if self.end_reason is not None else self.security or "opening"
        return f"<Peer {self.id or '?'} at {self.address}, {state}>"

    # For users of streams

    @property
    def is_open(self) -> bool:
        """Streams can be opened."""
        return self._is_open and self.end_reason is None

    @property
    def machine(self) -> Connection:
        """For what reads a stream in Rust. Call `progress` after it."""
        return self._machine

    def open(self, protocols: Sequence[str], user: StreamUser) -> int:
        """Begins a stream; `user` hears what comes of it. Raises `ConnectionLost` where there can be none."""
        stream = self._machine.open(protocols, anyio.current_time())
        self._users[stream] = user
        self._to_send.set()
        return stream

    def write(self, stream: int, data: bytes, offset: int = 0) -> int | None:
        """Queues bytes of a stream: how many. `StreamUser.writable` follows where it is less than all."""
        self._to_send.set()
        return self._machine.write(stream, data, offset)

    def read(self, stream: int, bytes_max: int) -> tuple[bytes, bool]:
        """Bytes of a stream, and whether they were its last."""
        read = self._machine.read(stream, bytes_max, anyio.current_time())
        self.progress()
        return read

    def finish(self, stream: int) -> None:
        """Ends our direction of a stream."""
        self._machine.finish(stream)
        self._to_send.set()

    def forget(self, stream: int, *, reset: bool = False) -> None:
        """Nothing more is to be heard of a stream."""
        self._users.pop(stream, None)
        if reset:
            self._machine.reset(stream)
            self._to_send.set()

    def progress(self) -> None:
        """Something was read: the machine may have room for more, and something to say."""
        self._to_send.set()
        if self._machine.wants_input():
            self._may_read.set()

    async def ping(self) -> float | None:
        """Sends 32 bytes to come back: the seconds it took, or None where no answer came in ten."""
        answered = anyio.Event()
        self._machine.ping(os.urandom(32), anyio.current_time())
        self._pings.append(answered)
        self._to_send.set()
        await answered.wait()
        return self._ping_seconds

    def push_addresses(self, addresses: Sequence[str]) -> None:
        """Tells the peer where we listen now."""
        if self.is_open:
            self._machine.push_addresses(addresses, anyio.current_time())
            self._to_send.set()

    @property
    def round_trip(self) -> float | None:
        """The shortest time that the muxer's own ping took, in seconds."""
        return self._machine.round_trip()

    def close(self) -> None:
        """Closes it soon: what was written is sent before. Nothing new is begun on it."""
        if self._is_open:
            self._is_open = False
            self._handler.peer_closing(self)
        self._machine.close(anyio.current_time())
        self._drain()
        self._to_send.set()

    # The pump

    async def run(self) -> None:
        """Until the connection is over, whoever ended it."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read)
                await self._send()
                tasks.cancel_scope.cancel()
        finally:
            self._end("closed by us")
            await self._stream.aclose()

    async def _read(self) -> None:
        machine, stream, limit = self._machine, self._stream, self._receive_limit
        read_bytes = RECEIVE_BYTES if limit is None else limit.step(RECEIVE_BYTES)
        while self.end_reason is None:
            deadline = machine.deadline()
            seconds = None if deadline is None else max(deadline - anyio.current_time(), 0)
            data: bytes | None = None
            with anyio.move_on_after(seconds):
                if machine.wants_input():
                    try:
                        data = await stream.receive(read_bytes)
                    except NetworkError:
                        data = b""
                else:
                    self._may_read = anyio.Event()
                    await self._may_read.wait()
                    continue
            if data is None:
                machine.on_time(anyio.current_time())
            elif data:
                self.received_bytes += len(data)
                machine.receive(data, anyio.current_time())
            else:
                machine.receive_end()
            self._drain()
            self._to_send.set()
            if limit is not None and data:
                # A quarter of a second for each connection that shares the limit; the deadlines of the machine are longer.
                await anyio.sleep(limit.take(len(data), anyio.current_time()))

    async def _send(self) -> None:
        machine, stream, limit = self._machine, self._stream, self._send_limit
        send_bytes = TRANSMIT_BYTES if limit is None else limit.step(TRANSMIT_BYTES)
        while True:
            self._to_send = anyio.Event()
            data = machine.transmit(send_bytes)
            self._drain()
            if not data:
                if self.end_reason is not None:
                    return
                await self._to_send.wait()
                continue
            try:
                with anyio.fail_after(SEND_SECONDS):
                    await stream.send(data)
            except TimeoutError:
                self._end(f"the peer took less than {TRANSMIT_BYTES} bytes in {SEND_SECONDS:.0f} s")
                return
            except NetworkError as error:
                self._end(str(error))
                return
            self.sent_bytes += len(data)
            if limit is not None:
                await anyio.sleep(limit.take(len(data), anyio.current_time()))

    def _drain(self) -> None:
        while events := self._machine.events():
            for event in events:
                self._handle(event)

    def _handle(self, event: WireEvent) -> None:
        kind, stream = event.kind, event.stream
        if kind in {"readable", "writable", "opened", "refused", "reset"}:
            assert stream is not None  # noqa: S101
            self._handle_stream(event, stream)
        elif kind == "inbound":
            assert stream is not None  # noqa: S101
            user = self._handler.peer_stream(self, stream, event.protocol or "")
            if user is None:
                self._machine.reset(stream)
            else:
                self._users[stream] = user
        elif kind == "open":
            self._is_open = True
            self.id, self.security = event.peer or "", event.security or ""
            self._handler.peer_open(self)
        elif kind == "identified":
            self.identified = event.identified
            self._handler.peer_identified(self)
        elif kind == "pinged":
            self._ping_seconds = event.seconds
            if self._pings:
                self._pings.pop(0).set()
        elif kind == "closed":
            self._end(event.reason or "")

    def _handle_stream(self, event: WireEvent, stream: int) -> None:
        user = self._users.get(stream)
        if user is None:
            return
        try:
            if event.kind == "readable":
                user.readable()
            elif event.kind == "writable":
                user.writable()
            elif event.kind == "opened":
                user.opened(event.protocol or "")
            else:
                self._users.pop(stream, None)
                user.gone(event.reason or "the peer ended the stream")
        except ProtocolError as error:
            # Who breaks one protocol is not to be trusted with the others.
            self._end(str(error))
        except ConnectionLost:
            pass

    def _end(self, reason: str) -> None:
        if self.end_reason is not None:
            return
        self.end_reason = reason
        users, self._users = self._users, {}
        for user in users.values():
            user.gone(reason)
        for ping in self._pings:
            self._ping_seconds = None
            ping.set()
        self._to_send.set()
        self._may_read.set()
