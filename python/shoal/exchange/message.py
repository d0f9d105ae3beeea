"""What peers tell each other, as values: the parts of a bitswap 1.2 message. Not their encoding, which is `rust/wire`'s.

The order of wants is their priority, the first the highest; an answer is always asked for where a block is lacking.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from shoal._core import CID, Block

Data: TypeAlias = "Block | bytes"
"""A block's bytes, of which the policy only counts how many."""
Peer: TypeAlias = Hashable
"""Who a peer is. Only compared."""


class Message(NamedTuple):
    """One message. Every part may be empty."""

    want_blocks: Sequence[CID] = ()
    want_haves: Sequence[CID] = ()
    """Whether the peer has these; it may send a small one instead of its answer."""
    cancels: Sequence[CID] = ()
    is_full: bool = False
    """The wants are all there are: earlier ones are void."""
    blocks: Sequence[tuple[CID, Data]] = ()
    """With the CIDs that their bytes have, whatever was asked for."""
    haves: Sequence[CID] = ()
    dont_haves: Sequence[CID] = ()


class Link(NamedTuple):
    """A link of a stored block, as who reads its blocks sees it."""

    cid: CID
    size: int | None = None
    """Bytes of the block, where the parent says them. A claim: used for planning, never for memory."""
    is_leaf: bool = False
    """It is known to have no links (a raw block)."""
    is_here: bool = False
    """It is stored already: only what is below it may be lacking."""
