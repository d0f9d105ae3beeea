"""Everything Shoal raises, in one tree.

The Rust core raises these very classes; nothing else leaves it, except `TypeError` for arguments of the wrong type.
Each class is also the built-in that fits (`KeyError`, `ValueError`, `OSError`, `TimeoutError`), so code that knows
nothing of Shoal can catch it. Each has the `exit_code` with which the command line ends.

A message says what happened, where, and what to do. It never repeats bytes that came from a stranger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from shoal._core import CID

__all__ = [
    "Cancelled",
    "CannotListen",
    "CarError",
    "ConnectionLost",
    "Damaged",
    "DialTimeout",
    "ExportError",
    "FetchFailed",
    "Incomplete",
    "InvalidAddress",
    "InvalidCID",
    "InvalidInput",
    "InvalidTicket",
    "NetworkError",
    "NodeNotRunning",
    "NodeRunning",
    "NotADirectory",
    "NotAFile",
    "NotFound",
    "NotPinned",
    "Pinned",
    "Poisoned",
    "ProtocolError",
    "ReadOnly",
    "ShoalError",
    "SourceError",
    "StoreError",
    "StoreFormat",
    "StoreFull",
    "StoreLocked",
    "StreamClosed",
    "UnknownProfile",
    "Unreachable",
    "UnsafePath",
    "UnsupportedCodec",
    "UnsupportedHash",
]


class ShoalError(Exception):
    """The base of every error of Shoal."""

    exit_code: ClassVar[int] = 1
    """What a program should end with: 1 an error, 2 bad input, 3 not found, 4 time-out, 5 verification failed, 130 stopped."""

    message: str
    """What, where, and what to do."""

    def __new__(cls, message: str = "", **_details: object) -> Self:
        # The classes that are an OSError too would otherwise take the message apart as (errno, text).
        return super().__new__(cls, message)

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message)
        self.message = message
        for name, value in details.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # KeyError would show the message's repr, OSError its own format.
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        details = {name: value for name, value in self.__dict__.items() if name not in {"message", "__notes__"}}
        if isinstance(self, OSError):  # whose fields are slots
            details |= {
                name: value for name in ("errno", "filename") if (value := getattr(self, name, None)) is not None
            }
        return _restore, (type(self), self.message, details)


def _restore(cls: type[ShoalError], message: str, details: dict[str, object]) -> ShoalError:
    return cls(message, **details)


class NotFound(ShoalError, KeyError):
    """There is no such block, or no such name in a directory."""

    exit_code = 3
    cid: CID | None = None
    """The block that is not there, or the directory that has no such name."""


class Incomplete(ShoalError):
    """A file or directory is in the store only in part, and what was asked of it is in a block that is not.

    Not a `NotFound`, nor any built-in: programs take those to mean that there is no such thing, and go on with zeros or nothing.
    """

    exit_code = 3
    cid: CID | None = None
    """The block that is not there."""


class InvalidInput(ShoalError, ValueError):
    """An argument, a file or a block is not what it has to be."""

    exit_code = 2


class InvalidCID(InvalidInput):
    """Text or bytes are not a CID, or a CID has not the form asked for."""


class InvalidAddress(InvalidInput):
    """Text is not a multiaddr, or not one that can be used so."""


class InvalidTicket(InvalidInput):
    """Text is not a ticket: cut short, mistyped, of another version, or something else."""


class UnknownProfile(InvalidInput):
    """No profile has that name. The message suggests the nearest."""


class UnsupportedHash(InvalidInput):
    """A hash that Shoal does not compute, so that bytes could not be checked."""


class UnsupportedCodec(InvalidInput):
    """A block format that Shoal does not read or write."""


class NotAFile(InvalidInput):
    """Content was asked of something that is not a file."""

    exit_code = 1
    cid: CID | None = None


class NotADirectory(InvalidInput):
    """A name was asked of something that has no names in it."""

    exit_code = 1
    cid: CID | None = None


class CarError(InvalidInput):
    """A content archive is malformed, cut short, or holds a block that is not what its CID says."""

    exit_code = 1


class Damaged(ShoalError):
    """A block on disk does not match its CID, and no other copy of it is here."""

    exit_code = 5
    cid: CID | None = None
    """The block that is hurt."""


class StoreError(ShoalError):
    """The store as a whole cannot do it."""


class StoreFull(StoreError, OSError):
    """The disk, or the user's quota on it, is full. What was acknowledged is safe; nothing of this call was kept."""


class StoreLocked(StoreError, TimeoutError):
    """Another process kept the store to itself for longer than `lock_wait` seconds."""

    exit_code = 4
    pid: int | None = None
    """The process that writes, where it is known."""


class StoreFormat(StoreError):
    """The folder is not a store, or one of a newer version."""


class Poisoned(StoreError):
    """The disk failed to keep what was written: nothing more is acknowledged until the store is opened again."""


class ReadOnly(StoreError):
    """The store was opened for reading only."""


class SourceError(ShoalError, OSError):
    """What was to be added is missing, cannot be read, or changed while it was read. Nothing was added."""


class ExportError(ShoalError, OSError):
    """What was got cannot be written. The target is as it was."""

    name: str | None = None
    """The entry that could not be written, relative to the target."""


class UnsafePath(ExportError):
    """A directory names an entry that would be written outside the target, or that no file can be called."""

    exit_code = 1


class Pinned(ShoalError):
    """The block is kept by a pin, and was not deleted."""

    cid: CID | None = None


class NotPinned(ShoalError):
    """There is no such pin."""

    cid: CID | None = None


class NetworkError(ShoalError):
    """Something between peers did not work. What is in the store is not touched by it."""

    exit_code = 4


class Unreachable(NetworkError, ConnectionError):
    """Nobody could be reached at an address, or at any of several."""

    reasons: dict[str, str] | None = None
    """What was wrong with each address, where several were tried."""


class DialTimeout(Unreachable, TimeoutError):
    """An address did not answer in time."""


class ConnectionLost(NetworkError, ConnectionError):
    """A connection ended without its proper end: the peer or the network broke it, or a send of ours was cut off in the middle."""


class StreamClosed(NetworkError):
    """The stream or listener was closed on our side, before or during the call."""


class CannotListen(NetworkError, OSError):
    """An address cannot be listened on."""

    exit_code = 1


class ProtocolError(NetworkError):
    """A peer sent what its protocol does not allow. The connection to it was closed."""


class NodeNotRunning(NetworkError):
    """No node runs over the store, and what was asked for needs one."""


class NodeRunning(ShoalError):
    """Another process is the store's node already."""


class FetchFailed(NetworkError):
    """Not everything could be fetched. What came is kept for a while: asking again goes on from there."""

    cid: CID | None = None
    """The first block that is lacking."""


class Cancelled(ShoalError):
    """The operation was stopped on request. Things are as they were before it."""

    exit_code = 130
