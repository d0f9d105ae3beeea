"""From a path to what it leads to, with every root on the way: what `X-Ipfs-Roots` names and a CAR proves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shoal import Path
from shoal.errors import NotADirectory
from shoal.http.message import Refusal, quoted

if TYPE_CHECKING:
    from shoal import CID
    from shoal.store import Store

__all__ = ["Place", "Target", "reach"]


@dataclass(frozen=True)
class Place:
    """Where the content stands for the client: which namespace and root its URLs name, and how they begin."""

    namespace: str
    """"ipfs" or "ipns"."""
    root_text: str
    """The root as the client wrote it: a CID, or a domain."""
    base: str
    """The URL path of the root: "/ipfs/CID", or "" where it has an origin of its own."""
    is_isolated: bool = False
    """Whether the origin has nothing but this root: then `_redirects` is obeyed."""
    root_link: str = ""
    """The URL of the root, for the trail of a directory's page."""
    gateway: str | None = ""
    """The origin of `/ipfs/`, "" for this one, None for none that is known."""
    ttl_seconds: int | None = None
    """For "ipns": how long the name may be kept."""


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    place: Place
    names: tuple[str, ...]
    """Below the client's root."""
    roots: tuple[CID, ...]
    """One for each name, the content root first."""
    before: tuple[str, ...] = ()
    """Names between the content root and the client's: a DNSLink may have some."""

    @property
    def end(self) -> CID:
        """What the path leads to."""
        return self.roots[-1]

    @property
    def path(self) -> str:
        """The content path, safe in a header."""
        return f"/{self.place.namespace}/{self.place.root_text}{quoted(self.names)}"

    def down(self, name: str, cid: CID) -> Target:
        """An entry below."""
        return replace(self, names=(*self.names, name), roots=(*self.roots, cid))


def reach(store: Store, place: Place, root: CID, before: tuple[str, ...], names: tuple[str, ...]) -> Target:
    """Walks the path, block by block. Raises `NotFound`, and `Refusal` 404 and 501 where it breaks off."""
    roots = [root]
    pending: list[str] = []
    try:
        for name in (*before, *names):
            pending.append(name)
            cid, rest = store.dag.resolve(Path(roots[-1], *pending))
            if not rest:
                roots.append(cid)
                pending = []
    except NotADirectory as error:
        raise Refusal(404, f"{quoted(names)} leads nowhere: {error}") from None
    if pending:
        raise Refusal(501, "the path ends inside a block: ask for the block with ?format=raw and look into it yourself")
    return Target(place, names, tuple(roots), before)
