"""The node: the store's verbs for asyncio and trio, awaitable and cancellable. It owns the one task group of everything it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import anyio
import anyio.from_thread
import anyio.to_thread

from shoal._core import __version__, canonical_peer_id
from shoal.exchange.limits import PATIENCE_SECONDS
from shoal.identity import load_identity
from shoal.network import Network
from shoal.operation import Operation
from shoal.store import Store
from shoal.stream import AsyncFile, Pulled
from shoal.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from anyio.abc import TaskGroup

    from shoal._core import CID, Block, Identity, Lease
    from shoal.content import AddKeywords, AnyCID, BytesLike, Content, PathLike, Source
    from shoal.discovery.base import Discovery
    from shoal.discovery.ticket import Ticket
    from shoal.results import (
        Added,
        Collected,
        DagStat,
        Entry,
        Exported,
        Fetched,
        Forgotten,
        Imported,
        NodeId,
        PeerInfo,
        Pin,
        Presence,
        Reference,
        ReferenceReport,
        StoreStat,
        VerifyReport,
    )
    from shoal.swarm import SwarmEvent
    from shoal.transport.base import Transport

__all__ = ["AsyncFile", "Node", "Operation"]

T = TypeVar("T")

_ENTRIES = 256
"""Directory entries fetched at a time."""


class Node:
    """A store for asyncio and trio: `async with shoal.Node(path) as node`.

    Takes what `Store` takes, or a `Store`. Work is done in at most `threads` threads at a time; the event loop is never blocked.
    With `bytes_per_second`, connections together receive no more than that, and send no more. Of `discoveries`, ways of finding peers,
    there are none unless given; whom they find is connected to.
    Long verbs return an `Operation`: await it for the result, iterate it for progress. Leaving the node stops what still runs.

        >>> import anyio
        >>> async def main():
        ...     async with Node("/tmp/shoal-example") as node:
        ...         added = await node.add(b"some bytes")
        ...         async with node.open(added.cid) as file:
        ...             return await file.read(4)
        >>> anyio.run(main)
        b'some'
    """

    def __init__(
        self,
        store: Store | PathLike | None = None,
        *,
        read_only: bool = False,
        pack_bytes_max: int | None = None,
        size_max: int | None = None,
        lock_wait: float = 30.0,
        threads: int | None = None,
        listen: Sequence[str] = (),
        serve: Literal["shared", "all"] = "shared",
        identity: Identity | None = None,
        transports: Mapping[str, Transport] | None = None,
        security: Sequence[Literal["tls", "noise"]] = ("tls", "noise"),
        bytes_per_second: int | None = None,
        discoveries: Sequence[Discovery] = (),
    ) -> None:
        self._given = store
        self._settings: dict[str, Any] = {
            "read_only": read_only,
            "pack_bytes_max": pack_bytes_max,
            "size_max": size_max,
            "lock_wait": lock_wait,
        }
        # Each operation has threads of its own for the processors; these here mostly wait.
        self._threads = threads if threads is not None else max(8, os.cpu_count() or 1)
        self._opened: Store | None = None
        self._tasks: TaskGroup | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._running: set[Operation[Any]] = set()
        self._listen = tuple(listen)
        self._to_others: dict[str, Any] = {
            "serve": serve,
            "transports": transports,
            "security": security,
            "bytes_per_second": bytes_per_second,
            "discoveries": discoveries,
        }
        self._identity = identity
        self._network: Network | None = None
        self._starting = anyio.Lock()
        self.swarm = SwarmVerbs(self)
        self.blob = BlobVerbs(self)
        self.block = BlockVerbs(self)
        self.dag = DagVerbs(self)
        self.pin = PinVerbs(self)
        self.references = ReferenceVerbs(self)
        self.repo = RepoVerbs(self)

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise RuntimeError("the node is open already")
        self._limiter = anyio.CapacityLimiter(self._threads)
        if isinstance(self._given, Store):
            self._opened = self._given
        else:
            given = self._given
            self._opened = await anyio.to_thread.run_sync(lambda: Store(given, **self._settings), limiter=self._limiter)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._background = anyio.create_task_group()
        try:
            await self._background.__aenter__()
            for address in self._listen:
                await self.listen(address)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        tasks, store = self._tasks, self._opened
        assert tasks is not None  # noqa: S101
        assert store is not None  # noqa: S101
        for operation in list(self._running):
            operation.cancel()
        try:
            self._background.cancel_scope.cancel()
            await self._background.__aexit__(None, None, None)
            # Its tasks are all threads of operations, which end soon now and must be waited for. The exception goes its own way:
            # a task group would wrap it.
            tasks.cancel_scope.shield = True
            await tasks.__aexit__(None, None, None)
        finally:
            self._tasks = None
            if store is not self._given:
                self._opened = None
                store.close()

    @property
    def store(self) -> Store:
        """The store underneath, for code that does not mind to block."""
        if self._opened is None or self._tasks is None:
            raise RuntimeError("the node is not open; use it as `async with shoal.Node(…) as node`")
        return self._opened

    @property
    def path(self) -> str:
        """The store's folder."""
        return self.store.path

    def __repr__(self) -> str:
        return f"<shoal.Node over {self._opened!r}>" if self._opened is not None else "<shoal.Node, not open>"

    def _run(self, function: Callable[[], T], /) -> Awaitable[T]:
        """A short call in a thread: waited for to its end even when cancelled."""
        return anyio.to_thread.run_sync(function, limiter=self._limiter)

    def _operate(self, phase: str, work: Callable[[Store], T]) -> Operation[T]:
        store = self.store
        assert self._tasks is not None  # noqa: S101
        assert self._limiter is not None  # noqa: S101
        return Operation(phase, work, store, self._tasks, self._limiter, self._running)

    # Files and directories

    def add(
        self, source: Source | AsyncIterable[BytesLike], *, name: str | None = None, **keywords: Unpack[AddKeywords]
    ) -> Operation[Added]:
        """Adds a file, a directory or content; see `Store.add`. An async iterable of pieces is a source too.

        `on_entry` is called in the event loop. A source that blocks, blocks one thread of the node until it yields.
        """
        _in_loop(keywords)
        if isinstance(source, AsyncIterable):
            pieces = source
            operation: Operation[Added] = self._operate(
                "add", lambda store: store.add(operation._pulled(pieces), name=name, **keywords)
            )
            return operation
        given = source
        return self._operate("add", lambda store: store.add(given, name=name, **keywords))

    def add_many(self, sources: Iterable[PathLike], **keywords: Unpack[AddKeywords]) -> Operation[list[Added]]:
        """Adds several paths as one; see `Store.add_many`."""
        _in_loop(keywords)
        return self._operate("add", lambda store: store.add_many(sources, **keywords))

    def open(self, content: Content) -> AsyncFile:
        """Opens a file: `async with node.open(cid) as file`."""
        return AsyncFile(self._run, self.store, content)

    async def read(self, content: Content, offset: int = 0, length: int | None = None) -> bytes:
        """A file's bytes from `offset` on: `length` of them, or all."""
        store = self.store
        return await self._run(lambda: store.read(content, offset, length))

    def cat(self, content: Content, *, offset: int = 0, length: int | None = None) -> Pulled[bytes]:
        """A file's content, piece by piece."""
        store = self.store
        return Pulled(self._run, lambda: store.cat(content, offset=offset, length=length), 1)

    def ls(self, content: Content, *, recursive: bool = False, resolve: bool = True) -> Pulled[Entry]:
        """The entries of a directory; see `Store.ls`."""
        store = self.store
        return Pulled(self._run, lambda: store.ls(content, recursive=recursive, resolve=resolve), _ENTRIES)

    async def stat_path(self, content: Content) -> Entry:
        """What a path leads to."""
        store = self.store
        return await self._run(lambda: store.stat_path(content))

    async def resolve(self, content: Content) -> tuple[CID, str]:
        """The CID that a path leads to, and what is left of the path."""
        store = self.store
        return await self._run(lambda: store.resolve(content))

    def get(
        self, content: Content | Ticket, target: PathLike | None = None, *, force: bool = False
    ) -> Operation[Exported]:
        """Writes a file, a directory or a symbolic link to disk; see `Store.get`. What is not here is fetched from peers first.

        A `Ticket`, or its text, says whom to ask. Otherwise those who are connected are; without any, only what is here can be had.
        """
        ticket = _ticket_of(content)
        network = self._network
        if ticket is None and (network is None or not network.swarm.peers):
            return self._operate("get", lambda store: store.get(cast("Content", content), target, force=force))

        async def work(transfer: Transfer[Exported]) -> Exported:
            name = target if target is not None or ticket is None else ticket.name
            written: list[Exported] = []

            async def write(root: CID) -> None:
                written.append(await self._operate("get", lambda store: store.get(root, name, force=force)))

            await self._fetch(content, transfer, finish=write)
            return written[0]

        return self._transfer("get", work)

    # Peers

    async def _connected(self) -> Network:
        """The network, started when it is first needed."""
        store = self.store
        async with self._starting:
            if self._network is None:
                identity = self._identity
                if identity is None:
                    identity = await self._run(lambda: load_identity(store.path))
                network = Network(store, identity, agent=f"shoal/{__version__}", **self._to_others)
                await self._background.start(network.run)
                self._network = network
        return self._network

    def _transfer(self, phase: str, work: Callable[[Transfer[T]], Awaitable[T]]) -> Transfer[T]:
        assert self._tasks is not None  # noqa: S101
        assert self._limiter is not None  # noqa: S101
        return Transfer(phase, work, self.store, self._tasks, self._limiter, self._running)

    async def listen(self, address: str = "/ip4/127.0.0.1/tcp/0") -> list[str]:
        """Lets peers in at an address, and tells those who are connected. Returns where they can, each address with this node's id.

        Only this machine unless another address is given: `/ip4/0.0.0.0/tcp/4001` is every network it is on. Port 0 takes a free one.
        Raises `InvalidAddress` and `CannotListen`.
        """
        network = await self._connected()
        return [f"{each}/p2p/{network.swarm.id}" for each in await network.swarm.listen(address)]

    async def connect(self, address: str, *more: str) -> str:
        """Connects to a peer, `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`, and returns its id. More addresses are other ways to it.

        Without an id at the end, whoever answers is taken. Raises `InvalidAddress`, and `Unreachable` with what each address said.
        """
        return await (await self._connected()).connect(address, *more)

    async def disconnect(self, peer: str) -> bool:
        """Closes the connections to a peer; whether there were any."""
        return self._network is not None and self._network.swarm.disconnect(canonical_peer_id(peer))

    async def id(self) -> NodeId:
        """What this node is to others: its peer id, where it listens, what it speaks. The id is made at the first use, and kept."""
        return (await self._connected()).id()

    async def peers(self) -> list[PeerInfo]:
        """Who is connected."""
        return [] if self._network is None else self._network.peers()

    async def ping(self, peer: str) -> float:
        """Seconds to a connected peer and back. Raises `Unreachable`."""
        return await (await self._connected()).ping(peer)

    async def share(self, content: Content, *, name: str | None = None) -> Ticket:
        """Lets peers fetch a file or directory, and makes the ticket for it: `str()` of it is one line of text.

        Listens on loopback if the node does not listen yet. The ticket ends with the node; so does what it leads to.

            >>> async def main():
            ...     async with Node("/tmp/shoal-example") as here, Node("/tmp/shoal-example-2") as there:
            ...         ticket = await here.share((await here.add(b"some bytes")).cid)
            ...         return await there.read((await there.fetch(str(ticket))).cid)
            >>> import anyio
            >>> anyio.run(main)
            b'some bytes'
        """
        from shoal.discovery.ticket import Ticket

        root = await self.serve(content)
        if not (await self.id()).addrs:
            await self.listen()
        about = await self.stat_path(root)
        node = await self.id()
        size = about.size if about.size is not None else about.dag_bytes
        return Ticket.offering(root, name=name, size=size or None, peer=node.id, addresses=node.addrs)

    async def serve(self, content: Content) -> CID:
        """Lets peers fetch a file or directory, all of which has to be here: its CID. With `serve="all"` every block can be fetched.

        It lasts as long as the node, and does not listen: see `listen`.
        """
        network = await self._connected()
        store = self.store
        root, _ = await self._run(lambda: store.resolve(content))
        await network.share(root)
        return root

    @property
    def served(self) -> list[CID]:
        """The roots that `serve` lets peers fetch."""
        return [] if self._network is None else list(self._network.serving.shared)

    @contextlib.contextmanager
    def listening_to_events(self, hear: Callable[[SwarmEvent], None]) -> Iterator[None]:
        """Calls `hear` in the event loop for every peer that comes, says what it is, or goes, until the block ends.

        It must not wait. Of a node that has no network yet, nothing is heard: `await node.id()` starts it.
        """
        if self._network is None:
            yield
            return
        heard = self._network.swarm.on_event
        heard.append(hear)
        try:
            yield
        finally:
            heard.remove(hear)

    async def unserve(self, content: Content) -> bool:
        """Takes that back; whether it was served."""
        store = self.store
        root, _ = await self._run(lambda: store.resolve(content))
        return self._network is not None and self._network.unshare(root)

    def fetch(
        self,
        content: Content | Ticket,
        *,
        peers: Sequence[str] = (),
        pin: bool = False,
        patience: float = PATIENCE_SECONDS,
        timeout: float | None = None,
    ) -> Transfer[Fetched]:
        """Brings a file, a directory or any DAG into the store, from all peers that are connected, and from `peers`, addresses of those
        that are said to have it. A `Ticket`, or its text, names its own.

        Gives up what nobody has given for `patience` seconds, and everything after `timeout`. Raises `FetchFailed`; what came stays
        until the next collection, and the same call goes on from there. With `pin`, it stays for good when it is whole.
        """

        async def work(transfer: Transfer[Fetched]) -> Fetched:
            return await self._fetch(content, transfer, peers=peers, pin=pin, patience=patience, timeout=timeout)

        return self._transfer("fetch", work)

    async def _fetch(
        self,
        content: Content | Ticket,
        transfer: Transfer[T],
        *,
        peers: Sequence[str] = (),
        pin: bool = False,
        patience: float = PATIENCE_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - it ends the fetch, which then says why
        finish: Callable[[CID], Awaitable[None]] | None = None,
    ) -> Fetched:
        network = await self._connected()
        ways = [[address] for address in peers]
        ticket = _ticket_of(content)
        wanted, size = (ticket.root, ticket.size) if ticket is not None else (cast("Content", content), None)
        if ticket is not None and ticket.addresses:
            ways.append([f"{address}/p2p/{ticket.peer}" if ticket.peer else address for address in ticket.addresses])
        return await network.fetch(
            wanted,
            transfer,
            ways=ways,
            bytes_total=size,
            patience=patience,
            timeout=timeout,
            pin=pin,
            finish=finish,
        )

    def refs(
        self, content: Content, *, recursive: bool = False, unique: bool = False, depth_max: int | None = None
    ) -> Pulled[tuple[CID, CID, str]]:
        """The links below a path; see `Store.refs`."""
        store = self.store
        make = lambda: store.refs(content, recursive=recursive, unique=unique, depth_max=depth_max)  # noqa: E731
        return Pulled(self._run, make, _ENTRIES)

    def refs_local(self) -> Pulled[CID]:
        """The CIDs of all blocks here."""
        return Pulled(self._run, self.store.refs_local, _ENTRIES)

    async def stat(self) -> StoreStat:
        """What the store holds."""
        return await self._run(self.store.stat)

    def verify(
        self,
        *,
        bytes_per_second: int | None = None,
        resume: PathLike | None = None,
        repair_from: PathLike | None = None,
    ) -> Operation[VerifyReport]:
        """Checks every block, and brings back what is lost if told from where; see `Store.verify`."""
        return self._operate(
            "verify",
            lambda store: store.verify(bytes_per_second=bytes_per_second, resume=resume, repair_from=repair_from),
        )

    def gc(self, *, dry_run: bool = False) -> Operation[Collected]:
        """Frees what no pin keeps; see `Store.gc`."""
        return self._operate("gc", lambda store: store.gc(dry_run=dry_run))

    async def lease(self) -> Lease:
        """Keeps what is looked up through it from `gc`, until it is closed: `with await node.lease() as lease`; see `Store.lease`."""
        return await self._run(self.store.lease)


def _ticket_of(content: Content | Ticket) -> Ticket | None:
    """The ticket that was given, as such or as its text."""
    from shoal.discovery.ticket import Ticket

    if isinstance(content, Ticket):
        return content
    if isinstance(content, str) and content.strip().lower().startswith("shoal1"):
        return Ticket.parse(content)
    return None


class _Verbs:
    def __init__(self, node: Node) -> None:
        self._node = node

    def _store(self) -> Store:
        return self._node.store


class SwarmVerbs(_Verbs):
    """`node.swarm`: who is connected, by Kubo's names."""

    async def connect(self, address: str) -> str:
        """See `Node.connect`."""
        return await self._node.connect(address)

    async def disconnect(self, peer: str) -> bool:
        """See `Node.disconnect`."""
        return await self._node.disconnect(peer)

    async def peers(self) -> list[PeerInfo]:
        """See `Node.peers`."""
        return await self._node.peers()

    async def addrs(self) -> list[str]:
        """Where this node listens, each address with its id."""
        return (await self._node.id()).addrs


class BlockVerbs(_Verbs):
    """`node.block`: blocks one by one and many at once."""

    async def put(
        self, data: BytesLike, *, codec: str = "raw", hash: str = "blake3", cid: AnyCID | None = None, pin: bool = False
    ) -> CID:
        """Stores one block; see `Store.put`."""
        return await self._node._operate("put", lambda store: store.put(data, codec=codec, hash=hash, cid=cid, pin=pin))

    async def put_many(
        self, blocks: Iterable[BytesLike | tuple[AnyCID, BytesLike]], *, codec: str = "raw", hash: str = "blake3"
    ) -> list[CID]:
        """Stores many blocks; see `Store.put_many`."""
        return await self._node._operate("put", lambda store: store.put_many(blocks, codec=codec, hash=hash))

    async def get(self, cid: AnyCID) -> Block:
        """A block, verified. Raises `NotFound` or `Damaged`."""
        store = self._store()
        return await self._node._run(lambda: store.get_block(cid))

    async def get_many(self, cids: Iterable[AnyCID]) -> list[Block]:
        """Blocks, verified side by side, in the order asked."""
        return await self._node._operate("get", lambda store: store.get_many(cids))

    async def has(self, cid: AnyCID) -> bool:
        """Whether a block is here."""
        store = self._store()
        return await self._node._run(lambda: store.has(cid))

    async def has_many(self, cids: Iterable[AnyCID]) -> list[bool]:
        """`has` of many, in the order asked."""
        store = self._store()
        return await self._node._run(lambda: store.has_many(cids))

    async def stat(self, cid: AnyCID) -> int:
        """Bytes of a block, without reading it."""
        store = self._store()
        return await self._node._run(lambda: store.size(cid))

    async def rm(self, cid: AnyCID, *, force: bool = False) -> bool:
        """Deletes a block; see `Store.delete`."""
        return await self._node._operate("delete", lambda store: store.delete(cid, force=force))

    async def rm_many(self, cids: Iterable[AnyCID], *, force: bool = False) -> int:
        """Deletes blocks; see `Store.delete_many`."""
        return await self._node._operate("delete", lambda store: store.delete_many(cids, force=force))


class BlobVerbs(_Verbs):
    """`node.blob`: whole files under one CID, in parts that prove themselves."""

    def export_slice(
        self, cid: AnyCID, out: PathLike | int | Any, ranges: Sequence[tuple[int, int]] | None = None
    ) -> Operation[int]:
        """Writes a slice; see `Store.blob.export_slice`."""
        return self._node._operate("export", lambda store: store.blob.export_slice(cid, out, ranges))

    def import_slice(
        self,
        cid: AnyCID,
        source: PathLike | BytesLike | Any,
        ranges: Sequence[tuple[int, int]] | None = None,
        *,
        pin: bool = True,
    ) -> Operation[Presence]:
        """Takes in a slice; see `Store.blob.import_slice`."""
        return self._node._operate("import", lambda store: store.blob.import_slice(cid, source, ranges, pin=pin))

    def export_outboard(self, cid: AnyCID, out: PathLike | int | Any) -> Operation[int]:
        """Writes the outboard; see `Store.blob.export_outboard`."""
        return self._node._operate("export", lambda store: store.blob.export_outboard(cid, out))

    def import_outboard(self, cid: AnyCID, size: int, source: PathLike | BytesLike | Any) -> Operation[None]:
        """Takes in an outboard; see `Store.blob.import_outboard`."""
        return self._node._operate("import", lambda store: store.blob.import_outboard(cid, size, source))

    def import_data(
        self, cid: AnyCID, source: PathLike | BytesLike | Any, *, offset: int = 0, pin: bool = True
    ) -> Operation[Presence]:
        """Takes in plain data along an outboard; see `Store.blob.import_data`."""
        return self._node._operate("import", lambda store: store.blob.import_data(cid, source, offset=offset, pin=pin))

    async def present(self, cid: AnyCID) -> Presence | None:
        """What is here of a blob or block."""
        store = self._store()
        return await self._node._run(lambda: store.blob.present(cid))

    async def discard(self, cid: AnyCID) -> bool:
        """Removes what is here of a partial blob."""
        return await self._node._operate("delete", lambda store: store.blob.discard(cid))

    async def ls(self) -> list[CID]:
        """The CIDs of all whole blobs."""
        store = self._store()
        return await self._node._run(lambda: list(store.blob.ls()))


class DagVerbs(_Verbs):
    """`node.dag`: objects with links, and DAGs as wholes."""

    async def put(self, obj: Any, *, codec: str = "dag-cbor", hash: str = "blake3", pin: bool = False) -> CID:
        """Stores an object as one block; see `Store.dag.put`."""
        return await self._node._operate("put", lambda store: store.dag.put(obj, codec=codec, hash=hash, pin=pin))

    async def put_bytes(
        self, data: BytesLike, *, input_codec: str = "dag-json", store_codec: str = "dag-cbor", hash: str = "blake3"
    ) -> CID:
        """Stores an encoded object, perhaps in another codec; see `Store.dag.put_bytes`."""
        return await self._node._operate(
            "put", lambda store: store.dag.put_bytes(data, input_codec=input_codec, store_codec=store_codec, hash=hash)
        )

    async def get(self, content: Content) -> Any:
        """The object that a path leads to."""
        store = self._store()
        return await self._node._run(lambda: store.dag.get(content))

    async def resolve(self, content: Content) -> tuple[CID, str]:
        """The last block on a path, and what is left of the path within it."""
        store = self._store()
        return await self._node._run(lambda: store.dag.resolve(content))

    def stat(self, content: Content) -> Operation[DagStat]:
        """The size of a DAG; see `Store.dag.stat`."""
        return self._node._operate("stat", lambda store: store.dag.stat(content))

    def export_car(self, content: Content, out: PathLike | int | Any, *, version: int = 1) -> Operation[int]:
        """Writes a DAG as a CAR; see `Store.dag.export_car`."""
        return self._node._operate("export", lambda store: store.dag.export_car(content, out, version=version))

    def import_car(
        self, source: PathLike | Any, *, pin_roots: bool = True, adopt: str | None = None
    ) -> Operation[Imported]:
        """Takes in the blocks of a CAR; see `Store.dag.import_car`."""
        return self._node._operate(
            "import", lambda store: store.dag.import_car(source, pin_roots=pin_roots, adopt=adopt)
        )


class PinVerbs(_Verbs):
    """`node.pin`: what is kept."""

    async def add(self, content: Content, *, recursive: bool = True, name: str | None = None) -> CID:
        """Keeps what a path leads to; see `Store.pins.add`."""
        return await self._node._operate("pin", lambda store: store.pins.add(content, recursive=recursive, name=name))

    async def rm(self, cid: AnyCID) -> None:
        """Lets go of a pin. Raises `NotPinned`."""
        await self._node._operate("unpin", lambda store: store.pins.rm(cid))

    async def ls(self, *, cid: AnyCID | None = None, kind: str | None = None, name: str | None = None) -> list[Pin]:
        """The pins; see `Store.pins.ls`."""
        store = self._store()
        return await self._node._run(lambda: store.pins.ls(cid=cid, kind=kind, name=name))


class ReferenceVerbs(_Verbs):
    """`node.references`: files added without a copy."""

    async def ls(self) -> list[Reference]:
        """Every file that blocks are read from; see `Store.references.ls`."""
        store = self._store()
        return await self._node._run(store.references.ls)

    def check(self, *, full: bool = False) -> Operation[ReferenceReport]:
        """Looks whether the files are as they were; see `Store.references.check`."""
        return self._node._operate("check", lambda store: store.references.check(full=full))

    async def forget(self, paths: Iterable[PathLike] = (), *, changed: bool = False) -> Forgotten:
        """Forgets files, or what changed; see `Store.references.forget`."""
        return await self._node._operate("forget", lambda store: store.references.forget(paths, changed=changed))


class RepoVerbs(_Verbs):
    """`node.repo`: the store as a whole."""

    async def stat(self) -> StoreStat:
        """What the store holds."""
        return await self._node.stat()

    def verify(
        self,
        *,
        bytes_per_second: int | None = None,
        resume: PathLike | None = None,
        repair_from: PathLike | None = None,
    ) -> Operation[VerifyReport]:
        """Checks every block, and brings back what is lost if told from where; see `Store.verify`."""
        return self._node.verify(bytes_per_second=bytes_per_second, resume=resume, repair_from=repair_from)

    def gc(self, *, dry_run: bool = False) -> Operation[Collected]:
        """Frees what no pin keeps; see `Store.gc`."""
        return self._node.gc(dry_run=dry_run)


def _in_loop(keywords: AddKeywords) -> None:
    """Lets the callbacks of an add be called in the event loop, whose thread they expect to be in."""
    on_entry, progress = keywords.get("on_entry"), keywords.get("progress")
    if on_entry is not None:
        keywords["on_entry"] = lambda added: anyio.from_thread.run_sync(on_entry, added)
    if progress is not None:
        keywords["progress"] = lambda reading: anyio.from_thread.run_sync(progress, reading)
