"""A ticket as a QR code for a terminal: half a character for each module, light ones printed, as on a dark ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shoal.discovery.ticket import Ticket

__all__ = ["ticket_qr"]

_QUIET: Final = 4
"""Modules of light ground around it, as ISO/IEC 18004 asks for."""
_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def ticket_qr(ticket: Ticket, columns: int | None = None) -> str | None:
    """Lines to print, or None where they would be wider than `columns`. Whether anybody looks is the caller's to know."""
    import segno

    # In capitals, so that it is coded 5.5 bits a letter; a ticket may be read in either.
    code = segno.make(str(ticket).upper(), error="l", micro=False, boost_error=True)
    rows = [[not module for module in row] for row in code.matrix_iter(border=_QUIET)]
    if columns is not None and len(rows[0]) > columns:
        return None
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return "\n".join(
        "".join(_BLOCKS[upper, lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
