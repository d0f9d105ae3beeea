"""Peers whose addresses were given: on the command line, in the settings, in a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shoal.discovery.base import Announcement, Discovery, Found
from shoal.errors import InvalidAddress
from shoal.transport.address import peer_of
from shoal.transport.peer_id import peer_id_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shoal.discovery.ticket import Ticket

__all__ = ["Static"]

ADDRESSES_MAX: Final = 1024
"""As many as somebody writes down by hand, and more."""


class Static(Discovery):
    """Finds what it was given, once, and announces nothing.

    Each address ends with `/p2p/ID`: only so it is known who has to answer there. Raises `InvalidAddress`.
    """

    name = "static"

    def __init__(self, addresses: Iterable[str]) -> None:
        self._places: dict[str, list[str]] = {}
        for number, address in enumerate(addresses):
            if number >= ADDRESSES_MAX:
                raise InvalidAddress(f"more than {ADDRESSES_MAX} addresses are given; leave some to be found")
            place, peer = peer_of(address)
            if peer is None or not place.startswith("/"):
                raise InvalidAddress(
                    "an address of a peer ends with who it is, as in /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…; `shoal id` prints that"
                )
            places = self._places.setdefault(peer, [])
            if place not in places:
                places.append(place)

    @staticmethod
    def of_ticket(ticket: Ticket) -> Static:
        """The peer of a ticket; nobody where it names none."""
        made = Static(())
        if ticket.peer is not None:
            peer_id_bytes(ticket.peer)
            made._places[ticket.peer] = list(ticket.addresses)
        return made

    async def run(self, announce: Announcement | None, found: Callable[[Found], None]) -> None:  # noqa: ARG002
        for peer, places in self._places.items():
            found(Found(peer, tuple(places), self.name))
