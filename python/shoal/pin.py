"""Pins: what is kept when the store collects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import NotPinned
from shoal.results import Pin

if TYPE_CHECKING:
    from shoal._core import CID
    from shoal.content import AnyCID, Content
    from shoal.store import Store

__all__ = ["PinApi"]


class PinApi:
    """`store.pins` (also `store.pin`): what is kept."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, content: Content, *, recursive: bool = True, name: str | None = None) -> CID:
        """Keeps what a path leads to, with all below it unless `recursive` is false. A pin that is there is renamed.

        Raises `NotFound` when a block of it is not here.
        """
        store = self._store
        return store._core.pin_add(content, recursive=recursive, name=name, watch=store._watch("pin"))

    def rm(self, cid: AnyCID) -> None:
        """Lets go of a pin. The blocks stay until `gc`. Raises `NotPinned`."""
        store = self._store
        if not store._core.unpin(cid, watch=store._watch("unpin")):
            from shoal._core import CID

            cid = CID(cid)
            raise NotPinned(f"{cid} is not pinned", cid=cid)

    def ls(self, *, cid: AnyCID | None = None, kind: str | None = None, name: str | None = None) -> list[Pin]:
        """The pins, ordered by CID: all, or those of a CID, a kind ("recursive", "direct") or a name."""
        core = self._store._core
        if cid is None:
            rows = core.pins()
        else:
            row = core.pin_of(cid)
            rows = [row] if row is not None else []
        pins = [Pin(*row) for row in rows]
        return [pin for pin in pins if (kind is None or pin.kind == kind) and (name is None or pin.name == name)]
