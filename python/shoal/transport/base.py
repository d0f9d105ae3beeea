"""What a transport does: three small protocols, which `tests/contract/test_transport.py` holds every implementation to.

Addresses are multiaddrs in their canonical text. Bytes are unchecked and unencrypted: whoever reads them checks them.
Errors are classes of `shoal.errors`: `Unreachable` and `DialTimeout` of dialling, `ConnectionLost` of a stream that broke,
`StreamClosed` of one that this side has closed, `CannotListen` and `InvalidAddress` of addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["RECEIVE_BYTES", "Listener", "ListenerStatistics", "Stream", "Transport"]

RECEIVE_BYTES: Final = 256 * 1024
"""What one `receive` takes at most unless told otherwise. Smaller reads cost more calls; larger ones gain nothing measurable."""


class Stream(Protocol):
    """Bytes in both directions between two ends.

    One task may receive while another sends; two that do the same are a mistake, and raise `anyio.BusyResourceError`.
    """

    @property
    def remote(self) -> str:
        """Where the other end is."""

    @property
    def local(self) -> str:
        """Where this end is."""

    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        """The next bytes: at least one and at most `max_bytes`, as soon as there are any. `b""` when the other end has ended, and
        again each time after that. Raises `ConnectionLost` when it ended otherwise.

        A cancelled `receive` has taken nothing: the next one gets the same bytes.
        """

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of it; returns when the system has taken it, not when it has arrived. Waits while the other end does not read.

        Raises `ConnectionLost` when the other end is gone. A `send` that is cancelled in the middle breaks the stream: nobody
        knows how much went out, so any further `send` or `end` raises `ConnectionLost`, and closing resets the connection.
        Receiving goes on.
        """

    async def end(self) -> None:
        """Says that nothing more will be sent. The other end receives what was sent, then `b""`. Receiving goes on."""

    async def aclose(self) -> None:
        """Gives the stream back. Never waits, can be repeated, and works in a task that is being cancelled.

        Whoever waits in `receive` or `send` gets `StreamClosed`. What was sent is delivered if the other end reads it, and an
        end follows; but if there were bytes that this side did not read, the connection is reset, and what was sent last may be lost.
        """


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """What a listener has done so far."""

    accepted: int
    aborted: int
    """Connections that were gone before they were accepted."""
    starved: int
    """Times that nothing could be accepted for lack of file handles or memory, and was waited for."""


class Listener(Protocol):
    """Where others come in."""

    @property
    def addresses(self) -> list[str]:
        """Where it can be dialled: with the real port, and instead of a wildcard the addresses of the interfaces as they are now."""

    async def accept(self) -> Stream:
        """The next one to come. Raises `StreamClosed` when the listener was closed, and nothing else: what is wrong with one
        connection, or lacking for a while, ends no listener. A cancelled `accept` has taken nobody."""

    async def aclose(self) -> None:
        """Ends it, as `Stream.aclose` does. Who waits in `accept` gets `StreamClosed`; accepted streams go on."""

    def statistics(self) -> ListenerStatistics:
        """What it has done so far."""


class Transport(Protocol):
    """A way to move bytes."""

    def dials(self, address: str) -> bool:
        """Whether it knows how to dial that. Says nothing of whether anybody is there; never raises."""

    async def dial(self, address: str, *, timeout: float) -> Stream:  # noqa: ASYNC109 - the error tells it
        """Connects. A `/p2p/ID` at the end is not checked here.

        Raises `InvalidAddress` where `dials` would be false or nobody could ever be, `Unreachable` where nobody answers, and its
        subclass `DialTimeout` after `timeout` seconds.
        """

    async def listen(self, address: str) -> Listener:
        """Begins to listen. Port or number 0 takes a free one. Raises `InvalidAddress` or `CannotListen`."""
