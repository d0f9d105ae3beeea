"""Pins: what is kept when the store collects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.results import Pin

if TYPE_CHECKING:
    from typing import Literal

    from shoal._core import CID
    from shoal.content import AnyCID, Content
    from shoal.store import Store

__all__ = ["PinApi"]


class PinApi:
    """`store.pins` (also `store.pin`): what is kept."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, content: Content, *, recursive: bool = True, name: str | None = None) -> CID:
        """Keeps what a path leads to, with all below it unless `recursive` is false, and returns its CID.

        A CID has one pin: pinning again renames it, and a recursive pin takes the place of a direct one.
        Raises `NotFound` or `Damaged` when a block of it cannot be had, and `Pinned` when a direct pin is asked for on a recursive one.
        """
        store = self._store
        return store._core.pin_add(content, recursive, name, store._watch("pin"))

    def rm(self, cid: AnyCID) -> None:
        """Lets go of a pin. The blocks stay until `gc`. Raises `NotPinned`."""
        store = self._store
        store._core.pin_rm(cid, store._watch("unpin"))

    def ls(
        self,
        *,
        cid: AnyCID | None = None,
        kind: Literal["recursive", "direct", "indirect", "all"] | str | None = None,
        name: str | None = None,
    ) -> list[Pin]:
        """The pins: all, or those of a CID, of a kind, or whose name contains a text.

        Kind "indirect" means the blocks that are kept because they are under a recursive pin; "all" means those and the pins. Both
        walk every pinned DAG.
        """
        store = self._store
        if kind in {"indirect", "all"}:
            rows = store._core.kept(cid, None if kind == "all" else kind, name, store._watch("list"))
            return [Pin(*row) for row in rows]
        if kind not in {None, "recursive", "direct"}:
            from shoal.errors import InvalidInput

            raise InvalidInput("a pin is 'recursive', 'direct' or 'indirect'; 'all' lists the three")
        if cid is not None:
            from shoal._core import CID

            cid = CID(cid)
        pins = [Pin(*row) for row in store._core.pins()]
        return [
            pin
            for pin in pins
            if (cid is None or pin.cid == cid)
            and (kind is None or pin.kind == kind)
            and (name is None or (pin.name is not None and name in pin.name))
        ]
