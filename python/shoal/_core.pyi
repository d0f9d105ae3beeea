# What the Rust extension offers, with the prose that the extension itself does not carry. Checked by `python -m mypy.stubtest`.

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypedDict, final

from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = [
    "CID",
    "BitswapReader",
    "Block",
    "CidBatches",
    "Connection",
    "EntryBatches",
    "FileReader",
    "Identified",
    "Identity",
    "Lease",
    "Members",
    "Operation",
    "Path",
    "Profile",
    "RefBatches",
    "Store",
    "WireConfig",
    "WireEvent",
    "__version__",
    "bench_chunk",
    "bench_hash",
    "bitswap_wants",
    "canonical_peer_id",
    "dag_decode",
    "dag_encode",
    "dag_recode",
    "migrate_store",
    "parse_multiaddr",
    "store_version",
    "tcp_multiaddr",
]

__version__: str

_Kind: TypeAlias = Literal["file", "directory", "symlink"]
_Base: TypeAlias = Literal["base58btc", "base32", "base36", "base64url", "base16"]
_AnyCID: TypeAlias = CID | str | ReadableBuffer
_Content: TypeAlias = CID | Path | str | ReadableBuffer

@final
class CID:
    """The name of a block: its format and its hash.

    Made from text (`bafy…`, `Qm…`, any multibase), from its bytes, or from another CID. Immutable, hashable, picklable, ordered by
    its bytes. Two CIDs are equal when their bytes are: the CIDv0 and CIDv1 of a block are not.

    Format: <https://github.com/multiformats/cid>. At most 168 bytes; digests of 20 bytes at least, except under `identity`.
    Raises `shoal.errors.InvalidCID`.

        >>> cid = CID.of(b"hello")
        >>> str(cid)
        'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq'
        >>> CID(str(cid)) == cid
        True
    """

    def __new__(cls, value: _AnyCID) -> Self: ...
    @staticmethod
    def of(data: ReadableBuffer, *, codec: str = "raw", hash: str = "sha2-256") -> CID:
        """The CIDv1 of a block's bytes. `hash` is "sha2-256", "blake3", "sha2-512", or "identity" (for at most 128 bytes)."""

    @property
    def version(self) -> int:
        """0 or 1."""

    @property
    def codec(self) -> str:
        """The block's format by its multicodec name ("raw", "dag-pb", "dag-cbor", …), or its number as "0x…"."""

    @property
    def codec_code(self) -> int:
        """The block's format by its multicodec number."""

    @property
    def hash(self) -> str:
        """The hash by its multicodec name ("sha2-256", "blake3", …), or its number as "0x…"."""

    @property
    def hash_code(self) -> int:
        """The hash by its multicodec number."""

    @property
    def digest(self) -> bytes:
        """The digest; under `identity`, the block itself."""

    @property
    def multihash(self) -> bytes:
        """Hash number, length and digest, as they stand in the CID."""

    def encode(self, base: _Base | str) -> str:
        """The text in a base: "base58btc", "base32", "base36", "base64url" or "base16". A CIDv0 has base58btc only."""

    def to_v0(self) -> CID:
        """The same block's CIDv0. Raises `InvalidCID` unless it is dag-pb under SHA-256."""

    def to_v1(self) -> CID:
        """The same block's CIDv1."""

    def __truediv__(self, name: str, /) -> Path:
        """A path below this CID."""

    def __bytes__(self) -> bytes: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: CID, /) -> bool: ...
    def __le__(self, other: CID, /) -> bool: ...
    def __gt__(self, other: CID, /) -> bool: ...
    def __ge__(self, other: CID, /) -> bool: ...
    def __copy__(self) -> CID: ...
    def __deepcopy__(self, _memo: object, /) -> CID: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Path:
    """A CID and names below it. `str()` is "/ipfs/bafy…/a/b".

    Immutable, hashable, picklable. Names that are not UTF-8 are text as `os.fsdecode` makes it. "." and ".." are no names.

        >>> (CID.of(b"") / "a" / "b").names
        ('a', 'b')
    """

    def __new__(cls, root: _Content, *names: str) -> Self: ...
    @staticmethod
    def parse(text: str) -> Path:
        """Reads "bafy…", "bafy…/a/b", "/ipfs/bafy…/a/b" or "ipfs://bafy…/a/b". Raises `InvalidCID` and `InvalidInput`."""

    @property
    def root(self) -> CID:
        """Where the path begins."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names, downwards."""

    @property
    def name(self) -> str:
        """The last name; the CID's text where there are none."""

    def __truediv__(self, name: str, /) -> Path:
        """One name further down, or several with "/" between them."""

    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Path, /) -> bool: ...
    def __le__(self, other: Path, /) -> bool: ...
    def __gt__(self, other: Path, /) -> bool: ...
    def __ge__(self, other: Path, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Profile:
    """The rules that turn a file into a DAG, and so decide its CID. Immutable, hashable, picklable.

    Four are frozen for ever: `BLAKE3` (the default), `BLAKE3_CDC` (the same, but cut where the content says: for versions of large
    files), and `UNIXFS_V1_2025` and `UNIXFS_V0_2015` (the CIDs of Kubo and Helia, IPIP-499).
    Others are made from them with `replace`.

        >>> Profile.named("unixfs-v1-2025").replace(chunker="size-262144").name
        'custom'
    """

    BLAKE3: ClassVar[Profile]
    BLAKE3_CDC: ClassVar[Profile]
    UNIXFS_V1_2025: ClassVar[Profile]
    UNIXFS_V0_2015: ClassVar[Profile]

    @staticmethod
    def named(name: str) -> Profile:
        """A frozen profile. Raises `shoal.errors.UnknownProfile` with a suggestion."""

    @staticmethod
    def all() -> list[Profile]:
        """The frozen profiles, the default first."""

    def replace(
        self,
        *,
        cid_version: int = ...,
        hash: str = ...,
        chunker: str = ...,
        raw_leaves: bool = ...,
        layout: Literal["balanced", "trickle", "blob"] | str = ...,
        file_links_max: int = ...,
        directory_links_max: int = ...,
        hamt_fanout: int = ...,
        hamt_threshold_bytes: int = ...,
        directory_size: Literal["block-bytes", "links-bytes"] | str = ...,
        inline_bytes_max: int = ...,
        data_first: bool = ...,
    ) -> Profile:
        """The same rules but for these. Raises `shoal.errors.InvalidInput` for fields that cannot be, or not together."""

    @property
    def name(self) -> str:
        """Its name; "custom" once a field was changed."""

    @property
    def cid_version(self) -> int:
        """0 or 1."""

    @property
    def hash(self) -> str:
        """Hash of every block: "blake3", "sha2-256" or "sha2-512"."""

    @property
    def chunker(self) -> str:
        """Where files are cut: "size-N", "mincdc-MIN-MAX", "fastcdc-MIN-AVG-MAX", "rabin-MIN-AVG-MAX" or "buzhash", in bytes.

        All but the first are content-defined: bytes put in or taken out move the cuts near them only. "mincdc" is the fast one; "fastcdc"
        cuts where the Rust crate of that name does, "rabin" and "buzhash" where Kubo does. Rules: `docs/formats/profiles.md`.
        """

    @property
    def raw_leaves(self) -> bool:
        """Whether chunks are plain blocks, not dag-pb nodes."""

    @property
    def layout(self) -> Literal["balanced", "trickle", "blob"]:
        """How chunks are linked; "blob": not at all, a file is one raw BLAKE3 CID whatever its size (equal to `b3sum` of it)."""

    @property
    def file_links_max(self) -> int:
        """Most links of a file's node."""

    @property
    def directory_links_max(self) -> int:
        """Most entries of a directory before it is sharded; 0 for no such limit."""

    @property
    def hamt_fanout(self) -> int:
        """Children of a shard of a large directory: a power of two, 8 to 1024."""

    @property
    def hamt_threshold_bytes(self) -> int:
        """A directory larger than this is sharded."""

    @property
    def directory_size(self) -> Literal["block-bytes", "links-bytes"]:
        """What is compared with the threshold: the serialised block, or the sum of the names' and CIDs' lengths."""

    @property
    def inline_bytes_max(self) -> int:
        """Blocks of at most this many bytes stand in their CID; 0 for none, at most 128."""

    @property
    def data_first(self) -> bool:
        """Whether dag-pb's data stands before its links (the specification has links first)."""

    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Block:
    """A block's bytes, verified against its CID.

    Has the buffer protocol: `memoryview(block)` is read-only and copies nothing (where the block is in a sealed or open pack, it is
    the pack's mapped memory, kept for as long as a view lives). `bytes(block)` copies. Equal when the CIDs are.
    """

    @property
    def cid(self) -> CID:
        """Its name."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def dag_encode(codec: str, obj: Any) -> bytes:
    """The one canonical block of an object: "dag-cbor", "dag-json", "dag-pb", or "raw" (for bytes).

    None, bool, int (64-bit, and negative down to -2^64), float, str, bytes, list or tuple, dict with str keys, and CID, which is a
    link. Raises `TypeError` for anything else, and `shoal.errors.InvalidInput` for NaN, infinities, integers out of range, more than
    128 levels, and what does not fit a block. Specifications: <https://ipld.io/specs/codecs/>.
    """

def dag_decode(codec: str, data: ReadableBuffer) -> Any:
    """The object that a block says. Strict: raises `shoal.errors.InvalidInput` for what is not in canonical form."""

def dag_recode(data: ReadableBuffer, input_codec: str, store_codec: str) -> bytes:
    """A block's object as a block of another codec. The input may have the loose form that people type."""

def store_version(path: str) -> tuple[int, int]:
    """The version that a store's format has, and the one this program works with."""

def migrate_store(path: str, dry_run: bool, watch: _Watch) -> tuple[int, int, list[str]]:
    """Brings a store to this program's version: the version found, the one there is then, and the steps."""

def bench_hash(hash: str, bytes: int, threads: int = 1) -> float:
    """Seconds to hash so many bytes in memory ("blake3" or "sha2-256"), in chunks of 1 MiB, with so many threads."""

def bench_chunk(chunker: str, bytes: int) -> float:
    """Seconds to find the cuts of so many bytes in memory, with one thread."""

# The wire: what `rust/wire` does with bytes, driven by `shoal.peer`. Times are seconds since an epoch of the caller's choice.

class _Start(TypedDict):
    """What a connection needs of the outside at its start: 64 bytes of chance, and the address that it sees the peer at."""

    now: float
    unix_time: float
    secrets: bytes
    observed: str | None

@final
class Identity:
    """An Ed25519 key, who a node is. Made of the bytes of a key file of libp2p; raises `shoal.errors.InvalidInput` for others."""

    def __new__(cls, protobuf: bytes) -> Self: ...
    @staticmethod
    def from_seed(seed: bytes) -> Identity:
        """The key of 32 bytes drawn from a source fit for secrets."""

    @property
    def peer_id(self) -> str:
        """What others know it by, in base58btc (`12D3Koo…`)."""

    def to_protobuf(self) -> bytes:
        """As a key file of libp2p: secret."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes that only this key can make of `message`."""

@final
class WireConfig:
    """What the connections of a node share: its key, a certificate made of 32 drawn bytes, and what it says of itself.

    `protocols` are those that peers may begin streams for, beside identify and ping; `security` says which channels, the best first.
    Raises `shoal.errors.InvalidInput` where what it says of itself is longer than the 4 KiB that all peers read.
    """

    def __new__(
        cls,
        identity: Identity,
        tls_secret: bytes,
        *,
        protocols: Sequence[str],
        agent: str,
        addresses: Sequence[str],
        security: Sequence[Literal["tls", "noise"]],
    ) -> Self: ...

@final
class Identified:
    """What a peer says of itself. All of it is a claim but its key, which the channel proved."""

    @property
    def agent(self) -> str | None: ...
    @property
    def protocol_version(self) -> str | None: ...
    @property
    def protocols(self) -> list[str]: ...
    @property
    def addresses(self) -> list[str]: ...
    @property
    def observed(self) -> str | None:
        """Where it sees us."""

@final
class WireEvent:
    """What happened on a connection. Which fields are set follows from `kind`."""

    @property
    def kind(
        self,
    ) -> Literal[
        "open",
        "identified",
        "opened",
        "refused",
        "inbound",
        "readable",
        "writable",
        "reset",
        "pinged",
        "gone-away",
        "closed",
    ]: ...
    @property
    def stream(self) -> int | None: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def security(self) -> Literal["tls", "noise"] | None: ...
    @property
    def seconds(self) -> float | None:
        """How long a ping took; None where no answer came."""

    @property
    def reason(self) -> str | None: ...
    @property
    def identified(self) -> Identified | None: ...

@final
class Connection:
    """A connection to one peer, without a socket: change it, drain `events` and `transmit`, come back at its `deadline`."""

    @staticmethod
    def dial(config: WireConfig, expected: str | None, start: _Start) -> Connection:
        """To the peer `expected`, or whoever answers."""

    @staticmethod
    def listen(config: WireConfig, start: _Start) -> Connection:
        """From a peer that dialed."""

    def receive(self, data: ReadableBuffer, now: float) -> None:
        """Takes bytes of the peer, all of them."""

    def receive_end(self) -> None:
        """The peer's bytes have ended."""

    def transmit(self, bytes_max: int) -> bytes:
        """What is to be sent, up to so many bytes and a frame. There may be events after it."""

    def events(self) -> list[WireEvent]:
        """What happened since, in order. The last one ever is "closed"."""

    def deadline(self) -> float | None:
        """When `on_time` wants to be called."""

    def wants_input(self) -> bool:
        """False while the peer is not to be read."""

    def on_time(self, now: float) -> None:
        """Ends what is late."""

    def open(self, protocols: Sequence[str], now: float) -> int:
        """Begins a stream for the first of `protocols` that the peer has: "opened" or "refused" follows.

        Raises `shoal.errors.ConnectionLost` where there can be none.
        """

    def write(self, stream: int, data: ReadableBuffer, offset: int) -> int | None:
        """Queues bytes from `offset` on: how many. "writable" follows where it is less than all. None where the stream is gone."""

    def read(self, stream: int, bytes_max: int, now: float) -> tuple[bytes, bool]:
        """Bytes of a stream, and whether they were its last."""

    def finish(self, stream: int) -> None:
        """Ends our direction of a stream."""

    def reset(self, stream: int) -> None:
        """Ends a stream at once."""

    def ping(self, data: bytes, now: float) -> None:
        """Sends 32 drawn bytes to come back: "pinged" follows."""

    def push_addresses(self, addresses: Sequence[str], now: float) -> None:
        """Tells the peer where we listen now."""

    def close(self, now: float) -> None:
        """Closes it, once everything written is sent, or in 5 s."""

    def round_trip(self) -> float | None:
        """The shortest time that the muxer's own ping took, in seconds."""

_Message: TypeAlias = tuple[list[CID], list[CID], list[CID], bool, list[tuple[CID, Block]], list[CID], list[CID]]
_FetchLink: TypeAlias = tuple[CID, int | None, bool]

@final
class Members:
    """The blocks of a DAG as they were when it was walked: some 30 bytes of memory for each."""

    def has_many(self, cids: Sequence[CID]) -> list[bool]:
        """Of each block, whether it is one of them."""

@final
class BitswapReader:
    """Reads the bitswap messages of one stream. Their blocks are hashed side by side, and named by what they are."""

    def __new__(cls) -> Self: ...
    def read(self, connection: Connection, stream: int, now: float) -> tuple[list[_Message], bool, int]:
        """Whole messages (the fields of `shoal.exchange.message.Message`), whether the stream has ended, and the bytes read.

        Raises `shoal.errors.ProtocolError` where the stream cannot be read on.
        """

def bitswap_wants(
    blocks: Sequence[CID], haves: Sequence[CID], cancels: Sequence[CID], is_full: bool, priority: int
) -> bytes:
    """A message of wants behind its length. Priorities fall from `priority` on, one by one."""

def canonical_peer_id(text: str) -> str:
    """A peer id, given in any of its text forms, in base58btc. Raises `shoal.errors.InvalidInput`."""

def parse_multiaddr(text: str) -> tuple[str, str | None, tuple[str, int] | None]:
    """An address in its canonical text without a peer at its end, that peer, and IP address and port where it is one of TCP."""

def tcp_multiaddr(ip: str, port: int) -> str:
    """The address of an IP address and TCP port."""

# What follows is for the modules of this package.

_AddedRow: TypeAlias = tuple[CID, str, _Kind, int, int, int]
_EntryRow: TypeAlias = tuple[
    str, CID, Literal["file", "directory", "symlink", "unknown"], int | None, int, int | None, float | None, str | None
]
_PinRow: TypeAlias = tuple[CID, Literal["recursive", "direct", "indirect"], str | None]

class _Watch(TypedDict):
    """How a long call is watched: what cancels it, and what hears of it (with the parts of `Operation.progress`)."""

    operation: Operation | None
    on_progress: Callable[[int, int | None, int, int | None, str | None], None] | None

class _AddOptions(TypedDict):
    """The keywords of `shoal.Store.add`; `mtime` in seconds and nanoseconds."""

    profile: Profile
    only_hash: bool
    nocopy: bool
    wrap: bool
    pin: bool
    pin_name: str | None
    hidden: bool
    ignore: list[str]
    ignore_files: list[str]
    dereference_symlinks: bool
    empty_dirs: bool
    preserve_mode: bool
    preserve_mtime: bool
    mode: int | None
    mtime: tuple[int, int] | None

@final
class Lease:
    """Keeps what is looked up through it, without a pin, for as long as it is open: `with store.lease() as lease`.

    No collection waits for it. It is not durable: it ends with `close`, the `with` block, or the process. Other processes wait to write
    meanwhile. At most 16,777,216 blocks; more raise `InvalidInput`.
    """

    def has(self, cid: CID | str) -> bool:
        """Whether a block is here; if so it stays."""

    def has_many(self, cids: Sequence[CID | str]) -> list[bool]:
        """`has` of many, in the order asked."""

    def keep(self, cid: CID | str) -> int:
        """Keeps all that is under a root: how many blocks. Raises `NotFound` or `Damaged` when it is not whole."""

    def close(self) -> None:
        """Ends it. Closing twice does nothing."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_error: object) -> None: ...

@final
class Operation:
    """A handle on a long call: made before it, given to it, asked and cancelled from any thread."""

    def __new__(cls) -> Self: ...
    def cancel(self) -> None:
        """Asks the call to stop soon; it then raises `shoal.errors.Cancelled` and has kept nothing."""

    def check(self) -> None:
        """Raises `shoal.errors.Cancelled` once it was cancelled."""

    def progress(self) -> tuple[int, int | None, int, int | None, str | None]:
        """Bytes, bytes in all, files, files in all, what is at hand."""

@final
class FileReader:
    """A file, open for reading at any offset."""

    @property
    def cid(self) -> CID: ...
    @property
    def size(self) -> int: ...
    @property
    def mode(self) -> int | None: ...
    @property
    def mtime(self) -> float | None: ...
    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on; fewer only at the end."""

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Many ranges (offset, length), in the order asked for, each as `read_at` reads it."""

    def read_into_at(self, offset: int, buffer: WriteableBuffer) -> int:
        """Fills a buffer from `offset` on: how many bytes."""

@final
class EntryBatches:
    """The entries of a directory, some hundreds at a time."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> list[_EntryRow]: ...

@final
class RefBatches:
    """The links of a DAG, some hundreds at a time."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> list[tuple[CID, CID, str]]: ...

@final
class CidBatches:
    """The CIDs of the store's blocks, some hundreds at a time."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> list[CID]: ...

@final
class Store:
    """The store as Rust has it. `shoal.Store` is the one to use."""

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        pack_bytes_max: int | None = None,
        size_max: int | None = None,
        lock_wait: float = 30.0,
    ) -> Self: ...
    @property
    def path(self) -> str: ...
    def close(self) -> None: ...
    def stat(self) -> tuple[str, int, int, int, int, int, int, int, int, int, int, int]: ...
    def recover(self, watch: _Watch) -> str | None:
        """Takes the lock once, and tells what a crash had left to put right."""

    def add(
        self, paths: list[str], options: _AddOptions, watch: _Watch, on_entry: Callable[..., None] | None
    ) -> tuple[list[_AddedRow], int, int]: ...
    def add_stream(
        self,
        pieces: Iterator[ReadableBuffer] | Any,
        name: str,
        length: int | None,
        options: _AddOptions,
        watch: _Watch,
        on_entry: Callable[..., None] | None,
    ) -> tuple[list[_AddedRow], int, int]: ...
    def open_file(self, content: _Content) -> FileReader: ...
    def copy_to(self, content: _Content, descriptor: int, offset: int, length: int | None, watch: _Watch) -> int: ...
    def get(self, content: _Content, target: str, force: bool, watch: _Watch) -> tuple[str, int, int]: ...
    def entries(self, content: _Content, resolved: bool) -> EntryBatches: ...
    def about(self, content: _Content) -> _EntryRow: ...
    def resolve(self, content: _Content) -> tuple[CID, str]: ...
    def put_many(
        self,
        blocks: Sequence[tuple[_AnyCID | None, ReadableBuffer]],
        *,
        codec: str,
        hash: str,
        pin: bool,
        watch: _Watch,
    ) -> list[CID]: ...
    def block(self, cid: _AnyCID) -> Block: ...
    def blocks(self, cids: Sequence[_AnyCID], watch: _Watch) -> list[Block]: ...
    def has(self, cid: _AnyCID) -> bool: ...
    def has_many(self, cids: Sequence[_AnyCID]) -> list[bool]: ...
    def size(self, cid: _AnyCID) -> int: ...
    def sizes(self, cids: Sequence[CID]) -> list[int | None]:
        """Bytes of blocks, None where they are not here."""

    def put_blocks(self, blocks: Sequence[Block], watch: _Watch) -> tuple[int, int]:
        """Stores checked blocks and commits: how many were new, and their bytes."""

    def fetch_links(self, cids: Sequence[CID]) -> list[list[_FetchLink]]:
        """What stored blocks link to: block, its bytes as claimed, whether it has no links itself."""

    def members(self, root: _AnyCID, watch: _Watch) -> Members:
        """Which blocks are under a root, all of which have to be here."""

    def bitswap_blocks(
        self, sends: Sequence[tuple[Sequence[CID], Sequence[CID], Sequence[CID]]]
    ) -> list[tuple[bytes, list[CID]]]:
        """Messages of blocks, haves and dont-haves, each behind its length, and the blocks that could not be read."""

    def pins(self) -> list[_PinRow]: ...
    def kept(self, cid: _AnyCID | None, kind: str | None, name: str | None, watch: _Watch) -> list[_PinRow]: ...
    def pin_add(self, content: _Content, recursive: bool, name: str | None, watch: _Watch) -> CID: ...
    def pin_rm(self, cid: _AnyCID, watch: _Watch) -> None: ...
    def delete(self, cids: Sequence[_AnyCID], force: bool, watch: _Watch) -> int: ...
    def lease(self, watch: _Watch) -> Lease: ...
    def collect(self, dry_run: bool, watch: _Watch) -> tuple[int, int, int, int, int, int]: ...
    def references(self, watch: _Watch) -> list[tuple[str, int, int, int, int]]:
        """Files outside: path, length, nanoseconds since 1970, blocks, their bytes."""

    def references_check(self, full: bool, watch: _Watch) -> tuple[int, list[tuple[str, str, int | None]]]: ...
    def references_forget(self, paths: list[str] | None, watch: _Watch) -> tuple[list[str], int, int]:
        """Forgets these files, or without any those that changed: paths, blocks, their bytes."""

    def verify(
        self, rate: int | None, checkpoint: str | bytes | None, repair_from: str | bytes | None, watch: _Watch
    ) -> tuple[
        int,
        int,
        list[tuple[CID | None, int | None, int, str, str | None]],
        list[CID],
        list[CID],
        bool,
        list[tuple[CID, list[str], int | None, CID, bool]],
        int,
        int,
        int,
        int,
    ]: ...
    def refs(
        self, content: _Content, recursive: bool, unique: bool, depth_max: int | None, watch: _Watch
    ) -> RefBatches: ...
    def cids(self) -> CidBatches: ...
    def dag_stat(self, content: _Content, watch: _Watch) -> tuple[CID, int, int, int, int]: ...
    def dag_get(self, content: _Content) -> Any: ...
    def dag_resolve(self, content: _Content) -> tuple[CID, str]: ...
    def export_slice(
        self, cid: _AnyCID, descriptor: int, ranges: Sequence[tuple[int, int]] | None, watch: _Watch
    ) -> int: ...
    def export_outboard(self, cid: _AnyCID, descriptor: int, watch: _Watch) -> int: ...
    def import_slice(
        self,
        cid: _AnyCID,
        pieces: Iterator[ReadableBuffer],
        ranges: Sequence[tuple[int, int]] | None,
        pin: bool,
        watch: _Watch,
    ) -> tuple[int, int, list[tuple[int, int]]]: ...
    def import_outboard(self, cid: _AnyCID, bytes: int, pieces: Iterator[ReadableBuffer], watch: _Watch) -> None: ...
    def import_data(
        self, cid: _AnyCID, pieces: Iterator[ReadableBuffer], offset: int, pin: bool, watch: _Watch
    ) -> tuple[int, int, list[tuple[int, int]]]: ...
    def present(self, cid: _AnyCID) -> tuple[int, int, list[tuple[int, int]]] | None: ...
    def discard_partial(self, cid: _AnyCID, watch: _Watch) -> bool: ...
    def blobs(self) -> list[CID]: ...
    def export_car(self, content: _Content, descriptor: int, version: int, watch: _Watch) -> int: ...
    def import_car(self, path: str, pin_roots: bool, watch: _Watch) -> tuple[list[CID], int, int, int, int]: ...
    def adopt_car(
        self, path: str, adopt: str, pin_roots: bool, watch: _Watch
    ) -> tuple[tuple[list[CID], int, int, int, int], str]: ...
    def import_car_stream(
        self, pieces: Iterator[ReadableBuffer] | Any, pin_roots: bool, watch: _Watch
    ) -> tuple[list[CID], int, int, int, int]: ...
