"""What a way of finding peers does: say what it found, and tell others of us where that is wished.

What is found is a claim. Whoever dials checks the peer, whoever receives checks the bytes; so nothing here is believed, and
everything is bounded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shoal._core import CID

__all__ = ["Announcement", "Discovery", "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """A peer, and where it is said to be."""

    peer: str
    """Its id, in base58btc."""
    addresses: tuple[str, ...]
    """Multiaddrs without the id at their end."""
    source: str
    """The `name` of the discovery that found it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What others may be told of us."""

    peer: str
    """Our id."""
    addresses: tuple[str, ...]
    """Where we listen. A wildcard address stands for those of the interfaces, as they are each time that somebody is told."""


class Discovery(Protocol):
    """A way of finding peers. A class that is one names this as its base, for the default of `find`."""

    @property
    def name(self) -> str:
        """What it is called in `Found.source`, in settings and in messages."""

    async def run(self, announce: Announcement | None, found: Callable[[Found], None]) -> None:
        """Finds peers, and announces us where `announce` is given, until it is cancelled or has nothing more to do.

        `found` is called in the event loop, and again when the addresses of a peer have changed or it is seen again after a
        while; it must not wait. Trouble on the way, such as a network that forbids it, is a warning and not an error: a node
        goes on with its other discoveries.
        """

    async def find(self, cid: CID) -> AsyncIterator[Found]:  # noqa: ARG002
        """Peers that are said to have a root, as they are found; for discoveries that can be asked. By default none."""
        nobody: tuple[Found, ...] = ()
        for found in nobody:
            yield found
