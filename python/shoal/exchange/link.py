"""bitswap with one peer over its connection: our one outbound stream, and whatever streams the peer begins. Calls, no tasks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from shoal._core import BitswapReader, bitswap_wants
from shoal.errors import ConnectionLost
from shoal.exchange.message import Message

if TYPE_CHECKING:
    from shoal._core import CID
    from shoal.peer import Peer

PROTOCOLS: Final = ("/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0")
"""What we offer to speak, the best first. 1.0 sends blocks without their CIDs' kind: Shoal reads it, and does not write it."""
READABLE: Final = (*PROTOCOLS, "/ipfs/bitswap/1.0.0", "/ipfs/bitswap")
"""What a peer may speak to us."""
INTERRUPTIONS_MAX: Final = 16
"""Times that a peer may reset our stream before it is left alone. Programs do so when they are short of streams, and recover."""
PRIORITY_FIRST: Final = 2**31 - 1
"""Of the first want: priorities fall from here, so that earlier wants come first. go-bitswap does the same."""


class Exchanger(Protocol):
    """What hears of a peer's messages."""

    def received(self, link: Link, message: Message) -> None:
        """A whole message, its blocks named by what they are."""

    def coming(self, link: Link, size: int) -> None:
        """So many bytes of a message that is not whole yet."""

    def written(self, link: Link, size: int) -> None:
        """So many bytes of the blocks handed to `Link.send` are on their way."""

    def lost(self, link: Link, reason: str) -> None:
        """The peer does not speak bitswap, or does not go on with it."""

    def interrupted(self, link: Link) -> None:
        """The peer has reset our stream: what was under way on it is lost. There is another one."""

    def may_read(self, inbound: Inbound) -> bool:
        """Whether there is room for what comes. If not, `Inbound.readable` is called again when there is."""


class Outgoing:
    """A message that waits, or is being written."""

    __slots__ = ("data", "offset", "served")

    def __init__(self, data: bytes, served: int) -> None:
        self.data = data
        self.offset = 0
        self.served = served


class Link:
    """What is sent to one peer. A user of our outbound stream."""

    def __init__(self, peer: Peer, exchanger: Exchanger) -> None:
        self.peer = peer
        self.id = peer.id
        self._exchanger = exchanger
        self._stream: int | None = None
        self._is_agreed = False
        self._outbox: deque[Outgoing] = deque()
        self._priority = PRIORITY_FIRST
        self._interruptions = 0
        self.called_back: dict[CID, object] = {}
        """Blocks that fetches which are over had asked for: they may still come."""

    def send_wants(self, message: Message) -> None:
        """Wants and cancels: ahead of blocks that wait, for an answer takes longer than a block."""
        count = len(message.want_blocks) + len(message.want_haves)
        data = bitswap_wants(message.want_blocks, message.want_haves, message.cancels, message.is_full, self._priority)
        self._priority = max(self._priority - count, 1)
        self._outbox.insert(self._first_unbegun_block(), Outgoing(data, 0))
        self._pump()

    def send_blocks(self, data: bytes, served: int) -> None:
        """A message that is encoded already, with `served` bytes of blocks in it."""
        self._outbox.append(Outgoing(data, served))
        self._pump()

    def _first_unbegun_block(self) -> int:
        for at, outgoing in enumerate(self._outbox):
            if outgoing.served and not outgoing.offset:
                return at
        return len(self._outbox)

    def _pump(self) -> None:
        if self._stream is None:
            try:
                self._stream = self.peer.open(PROTOCOLS, self)
            except ConnectionLost as error:
                self.gone(str(error))
            return
        while self._is_agreed and self._outbox:
            first = self._outbox[0]
            written = self.peer.write(self._stream, first.data, first.offset)
            if written is None:
                return
            first.offset += written
            is_whole = first.offset >= len(first.data)
            if is_whole:
                self._outbox.popleft()
            if first.served:
                # The message is a little longer than its blocks: the rest counts at its end.
                size = first.served if is_whole else min(written, first.served)
                first.served -= size
                self._exchanger.written(self, size)
            if not is_whole:
                return

    # As the user of the stream

    def opened(self, protocol: str) -> None:  # noqa: ARG002
        """It is agreed on."""
        self._is_agreed = True
        self._pump()

    def readable(self) -> None:
        """A peer says nothing on a stream of ours; what it says all the same is not kept."""
        assert self._stream is not None  # noqa: S101
        _, is_end = self.peer.read(self._stream, 4096)
        if is_end and self._stream is not None:
            self.peer.forget(self._stream, reset=True)
            self.gone("the peer ended our stream")

    def writable(self) -> None:
        """It takes more."""
        self._pump()

    def gone(self, reason: str) -> None:
        """Nothing more can be sent on it."""
        was_agreed, self._stream, self._is_agreed = self._is_agreed, None, False
        self._outbox.clear()
        self._interruptions += 1
        if was_agreed and self.peer.is_open and self._interruptions <= INTERRUPTIONS_MAX:
            self._exchanger.interrupted(self)
        else:
            self._exchanger.lost(self, reason)


class Inbound:
    """A stream that the peer began: message after message, to its end."""

    def __init__(self, link: Link, peer: Peer, stream: int, exchanger: Exchanger) -> None:
        self.link = link
        self._peer = peer
        self._stream = stream
        self._exchanger = exchanger
        self._reader = BitswapReader()
        self._is_over = False

    def opened(self, protocol: str) -> None:
        """It is the peer's: nothing to be done."""

    def writable(self) -> None:
        """We say nothing on it."""

    def readable(self) -> None:
        """Reads all that there is, for as long as there is room. Nobody calls again for what is left: only for what comes after."""
        while not self._is_over and self._exchanger.may_read(self):
            if not self._read():
                return

    def _read(self) -> int:
        """Reads once, no more than one long message: the bytes that it was."""
        peer = self._peer
        messages, is_end, size = self._reader.read(peer.machine, self._stream, anyio.current_time())
        if is_end:
            self._is_over = True
            peer.finish(self._stream)
            peer.forget(self._stream)
        peer.progress()
        for parts in messages:
            self._exchanger.received(self.link, Message._make(parts))
        if size and not messages:
            self._exchanger.coming(self.link, size)
        return size

    def gone(self, reason: str) -> None:  # noqa: ARG002
        """It was reset: what was not whole is forgotten."""
        self._is_over = True
