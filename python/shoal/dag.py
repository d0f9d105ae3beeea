"""Linked objects, and DAGs as wholes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import _core
from shoal._core import CID
from shoal.content import AnyCID, BytesLike, Content

if TYPE_CHECKING:
    from shoal.store import Store

__all__ = ["DagApi"]


class DagApi:
    """`store.dag`: objects with links, and DAGs as wholes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, obj: Any, *, codec: str = "dag-cbor", hash: str = "blake3", pin: bool = False) -> CID:
        """Stores an object as one block and returns its CID.

        An object is None, bool, int, float, str, bytes, a list, a dict with str keys, or a CID, which links another block.
        """
        store = self._store
        data = _core.dag_encode(codec, obj)
        return store.put(data, codec=codec, hash=hash, pin=pin)
