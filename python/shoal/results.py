"""What the verbs answer: small frozen values, the same from `Store` and from `Node`. Sizes are bytes, times seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shoal._core import CID

__all__ = [
    "Added",
    "ChangedFile",
    "Collected",
    "DagStat",
    "Damage",
    "Entry",
    "Exported",
    "Fetched",
    "Forgotten",
    "HurtPath",
    "Imported",
    "Migrated",
    "NodeId",
    "PeerInfo",
    "Pin",
    "Presence",
    "Progress",
    "Reference",
    "ReferenceReport",
    "StoreStat",
    "StoreVersion",
    "VerifyReport",
]


@dataclass(frozen=True)
class Added:
    """A file, directory or link that has its CID now. Durable, if `stored`."""

    cid: CID
    name: str
    """Its path, beginning with the name of the source; empty for a wrapping directory and for content without a name."""
    bytes: int
    """Content bytes read, in and below it."""
    new_bytes: int
    """Bytes of blocks that were not in the store before, of the whole call; 0 while the call goes on."""
    new_blocks: int
    """Blocks that were not in the store before, of the whole call; 0 while the call goes on."""
    files: int
    """Files in and below it."""
    dag_bytes: int
    """Size of its DAG, blocks used twice counted twice."""
    profile: str
    """Name of the profile that decided the CID, or "custom"."""
    stored: bool
    """False with `only_hash`."""
    kind: Literal["file", "directory", "symlink"]


@dataclass(frozen=True)
class Entry:
    """An entry of a directory, or what a path leads to."""

    name: str
    cid: CID
    kind: Literal["file", "directory", "symlink", "unknown"]
    """"unknown" where it was not looked up, or is neither."""
    size: int | None
    """Content bytes of a file; None for anything else, and where it was not looked up."""
    dag_bytes: int
    """Size of the DAG under it, by its directory's word."""
    mode: int | None
    """Permission bits, where they were kept."""
    mtime: float | None
    """Modification time, where it was kept."""
    target: str | None
    """Where a symbolic link points."""
    path: str
    """Names from the listed directory down to this entry, with "/" between them."""


@dataclass(frozen=True)
class Progress:
    """How far an operation is."""

    phase: str
    """What is being done: "add", "get", "cat", "verify", …"""
    bytes: int
    bytes_total: int | None
    """None while nobody knows."""
    files: int
    """Files done; blocks, where there are no files."""
    files_total: int | None
    current: str | None
    """The path or CID at hand."""


@dataclass(frozen=True)
class Fetched:
    """What a fetch has brought. All of it is in the store, and durable."""

    cid: CID
    bytes: int
    """Bytes of blocks that came; what was here already is not among them."""
    blocks: int
    seconds: float
    first_seconds: float | None
    """Until the first block came; None where none had to."""
    peers: dict[str, int]
    """Bytes that each peer gave, by its id."""
    duplicate_bytes: int
    """Bytes that came twice."""


@dataclass(frozen=True)
class NodeId:
    """What a node is to others."""

    id: str
    """Its peer id."""
    addrs: list[str]
    """Where it listens, each with its id."""
    protocols: list[str]
    """What peers may begin streams for."""
    agent: str


@dataclass(frozen=True)
class PeerInfo:
    """A peer that is connected."""

    id: str
    address: str
    """Where this side reaches it, or sees it come from."""
    direction: Literal["out", "in"]
    """Who dialed: "out" for this node."""
    security: str
    agent: str | None
    """Its program, as it says."""
    protocols: list[str]
    round_trip: float | None
    """Seconds; None before it was measured."""
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class Presence:
    """How much of a blob is here."""

    bytes: int
    """Of the whole: proved once its last byte is here, until then the word of whoever sent the first slice."""
    present_bytes: int
    ranges: list[tuple[int, int]]
    """What is here, as pairs of offset and length."""

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return self.present_bytes == self.bytes


@dataclass(frozen=True)
class Exported:
    """What `get` wrote."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Pin:
    """ "Keep this." """

    cid: CID
    kind: Literal["recursive", "direct", "indirect"]
    """The DAG under it too, the block alone, or not itself: kept because it is under a recursive pin."""
    name: str | None


@dataclass(frozen=True)
class DagStat:
    """The size of a DAG."""

    cid: CID
    blocks: int
    """Different blocks."""
    bytes: int
    """Their bytes, each block counted once."""
    links: int
    total_bytes: int
    """Bytes with every block counted as often as paths lead to it; 2^64 - 1 for that or more."""


@dataclass(frozen=True)
class StoreStat:
    """What a store holds."""

    path: str
    blocks: int
    bytes: int
    """Bytes of live blocks."""
    packs: int
    disk_bytes: int
    """Bytes of the pack files."""
    dead_bytes: int
    """Bytes of deleted blocks whose room is not free yet."""
    pins: int
    version: int
    """Of the store's format."""
    blobs: int
    """Whole files kept beside the packs, each under one CID."""
    blob_bytes: int
    """Their bytes."""
    references: int
    """Blocks that stand in files outside the store, each as often as a file is known to have it."""
    reference_bytes: int
    """Their bytes, which the store does not hold."""


@dataclass(frozen=True)
class Damage:
    """A block, or a place of a blob or of a file outside, that is not what its CID says."""

    cid: CID | None
    """None where even its name cannot be read."""
    pack: int | None
    """None for a blob, which has files of its own, and for files outside."""
    offset: int
    """Where its section begins in the pack, the damaged 16 KiB in the blob, or the block in the file outside, in bytes."""
    reason: str
    path: str | None = None
    """The file outside, for what was added without a copy."""


@dataclass(frozen=True)
class HurtPath:
    """Something lost under a pin, by the first way that leads to it."""

    root: CID
    """The pin."""
    path: str
    """Names from the root down to what is hurt, joined by slashes; empty for the root itself. Bytes that are no text are escaped
    as `os.fsdecode` does."""
    offset: int | None
    """Where in the file's content the lost block begins, in bytes; None for what is no file."""
    cid: CID
    """The lost block."""
    missing: bool
    """Whether it is nowhere in the store; else it is damaged."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found, and what is left of it after a repair."""

    blocks: int
    bytes: int
    damaged: list[Damage]
    missing: list[CID]
    """Blocks that a pinned DAG links and the store does not have."""
    roots: list[CID]
    """Pins that are hurt by either."""
    ok: bool
    paths: list[HurtPath]
    """What is lost under them, by name: the first thousand."""
    paths_count: int
    """All of them."""
    resumed: int
    """Packs and blobs passed over, since an earlier run that was stopped had found them sound."""
    repaired: int
    """Blocks and blobs brought back."""
    repaired_bytes: int


@dataclass(frozen=True)
class StoreVersion:
    """The version of a store's format."""

    found: int
    known: int
    """The version that this program works with."""


@dataclass(frozen=True)
class Migrated:
    """What `migrate` did, or with `dry_run` would do."""

    from_version: int
    to_version: int
    steps: list[str]
    """In order; empty when the store had this program's version."""
    dry_run: bool


@dataclass(frozen=True)
class Collected:
    """What `gc` freed, or with `dry_run` would free."""

    blocks: int
    bytes: int
    kept_blocks: int
    kept_bytes: int
    dry_run: bool
    packs_removed: int
    references_dropped: int
    """References to blocks in files outside, each as often as a file was known to have the block. The files stay."""


@dataclass(frozen=True)
class Reference:
    """A file outside the store that blocks are read from."""

    path: str
    size: int
    """Its bytes when it was added."""
    mtime: float
    """Its modification time then."""
    blocks: int
    """Blocks that stand in it."""
    bytes: int
    """Their bytes."""


@dataclass(frozen=True)
class ChangedFile:
    """A file outside the store that is not as it was, or a table of the store's own that names such files and is damaged."""

    path: str
    reason: str
    """What happened to it, as in "was written to since it was added"."""
    offset: int | None
    """Where its bytes differ first; None where nobody read them."""


@dataclass(frozen=True)
class ReferenceReport:
    """What `references.check` found."""

    files: int
    """Looked at."""
    changed: list[ChangedFile]
    ok: bool
    """Whether nothing changed."""


@dataclass(frozen=True)
class Forgotten:
    """What `references.forget` dropped."""

    paths: list[str]
    blocks: int
    """Blocks that were referenced in these files."""
    bytes: int
    """Their bytes."""


@dataclass(frozen=True)
class Imported:
    """What a CAR brought."""

    roots: list[CID]
    blocks: int
    bytes: int
    new_blocks: int
    new_bytes: int
    pinned: bool
    adopted: str | None = None
