"""Shoal: content-addressed storage. You give it files, it gives you hashes, and every byte is checked.

    >>> import shoal
    >>> store = shoal.Store("/tmp/shoal-example")
    >>> added = store.add(b"hello")
    >>> store.read(added.cid)
    b'hello'

`Store` is synchronous and local. `Node` has the same verbs for asyncio and trio. What is asked for is always a CID, a path
below one ("bafy…/a/b"), or a `Path`. Every error is below `ShoalError` (`shoal.errors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import errors
from shoal._core import CID, Block, Lease, Path, Profile, __version__, dag_decode, dag_encode
from shoal.errors import (
    Cancelled as Cancelled,
    CannotListen as CannotListen,
    CarError as CarError,
    ConnectionLost as ConnectionLost,
    Damaged as Damaged,
    DialTimeout as DialTimeout,
    ExportError as ExportError,
    FetchFailed as FetchFailed,
    Incomplete as Incomplete,
    InvalidAddress as InvalidAddress,
    InvalidCID as InvalidCID,
    InvalidInput as InvalidInput,
    InvalidTicket as InvalidTicket,
    NetworkError as NetworkError,
    NodeNotRunning as NodeNotRunning,
    NodeRunning as NodeRunning,
    NotADirectory as NotADirectory,
    NotAFile as NotAFile,
    NotFound as NotFound,
    NotPinned as NotPinned,
    Pinned as Pinned,
    Poisoned as Poisoned,
    ProtocolError as ProtocolError,
    ReadOnly as ReadOnly,
    ShoalError as ShoalError,
    SourceError as SourceError,
    StoreError as StoreError,
    StoreFormat as StoreFormat,
    StoreFull as StoreFull,
    StoreLocked as StoreLocked,
    StreamClosed as StreamClosed,
    UnknownProfile as UnknownProfile,
    Unreachable as Unreachable,
    UnsafePath as UnsafePath,
    UnsupportedCodec as UnsupportedCodec,
    UnsupportedHash as UnsupportedHash,
)
from shoal.file import File
from shoal.results import (
    Added,
    ChangedFile,
    Collected,
    DagStat,
    Damage,
    Entry,
    Exported,
    Forgotten,
    HurtPath,
    Imported,
    Migrated,
    Pin,
    Presence,
    Progress,
    Reference,
    ReferenceReport,
    StoreStat,
    StoreVersion,
    VerifyReport,
)
from shoal.store import Store
from shoal.version import migrate, store_version

if TYPE_CHECKING:
    from shoal.node import AsyncFile, Node, Operation

__all__ = [
    "CID",
    "Added",
    "AsyncFile",
    "Block",
    "ChangedFile",
    "Collected",
    "DagStat",
    "Damage",
    "Entry",
    "Exported",
    "File",
    "Forgotten",
    "HurtPath",
    "Imported",
    "Lease",
    "Migrated",
    "Node",
    "Operation",
    "Path",
    "Pin",
    "Presence",
    "Profile",
    "Progress",
    "Reference",
    "ReferenceReport",
    "ShoalError",
    "Store",
    "StoreStat",
    "StoreVersion",
    "VerifyReport",
    "__version__",
    "dag_decode",
    "dag_encode",
    "errors",
    "migrate",
    "store_version",
]

_LATE = frozenset({"AsyncFile", "Node", "Operation"})


def __getattr__(name: str) -> Any:
    # anyio is loaded by those who use it: `import shoal` stays quick.
    if name in _LATE:
        from shoal import node

        return getattr(node, name)
    message = f"module 'shoal' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
