"""What a person wants to get: a CID, a path, an `ipfs://` URI or a ticket, as the parts that a fetch needs.

The one rule: a ticket is a stranger's word. Its name is only ever the last part of a path, its addresses are only dialled.
"""

from __future__ import annotations

from dataclasses import dataclass

_TICKET_WORD = "shoal1"


@dataclass(frozen=True)
class Wanted:
    """What to get, what to call it, and whom to ask first."""

    content: str
    """A CID, or a path below one."""
    name: str
    addresses: tuple[str, ...] = ()
    bytes_total: int | None = None

    @staticmethod
    def parse(text: str) -> Wanted:
        """Reads what was typed. Raises `InvalidCID` and `InvalidTicket`."""
        word = text.strip()
        if not word.lower().startswith(_TICKET_WORD):
            return Wanted(word, word.rstrip("/").rpartition("/")[2])
        # Tickets need more of the package than a CID does.
        from shoal.discovery.ticket import Ticket

        ticket_text, _, below = word.partition("/")
        ticket = Ticket.parse(ticket_text)
        root = str(ticket.root)
        addresses = tuple(f"{address}/p2p/{ticket.peer}" if ticket.peer else address for address in ticket.addresses)
        if below.strip("/"):
            return Wanted(f"{root}/{below}", below.rstrip("/").rpartition("/")[2], addresses)
        return Wanted(root, ticket.name or root, addresses, ticket.size)
