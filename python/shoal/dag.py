"""Linked objects, and DAGs as wholes."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from shoal import _core
from shoal.content import open_source
from shoal.errors import ExportError, InvalidInput
from shoal.results import DagStat, Imported
from shoal.target import descriptor_of, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal._core import CID
    from shoal.content import BytesLike, Content, PathLike
    from shoal.results import Progress
    from shoal.store import Store

    Watcher = Callable[[Progress], None] | None

__all__ = ["DagApi"]

_PIECE_BYTES = 1024 * 1024


class DagApi:
    """`store.dag`: objects with links, and DAGs as wholes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, obj: Any, *, codec: str = "dag-cbor", hash: str = "blake3", pin: bool = False) -> CID:
        """Stores an object as one block and returns its CID.

        An object is None, bool, int, float, str, bytes, a list, a dict with str keys, or a CID, which links another block.
        With `pin`, it is kept, and all it links to must be here.

            >>> store = Store("/tmp/shoal-example")
            >>> leaf = store.put(b"leaf")
            >>> cid = store.dag.put({"name": "twig", "leaves": [leaf]})
            >>> store.dag.get(cid / "leaves/0")
            b'leaf'
        """
        store = self._store
        cid = store.put(_core.dag_encode(codec, obj), codec=codec, hash=hash)
        if pin:
            store.pins.add(cid)
        return cid

    def put_bytes(
        self, data: BytesLike, *, input_codec: str = "dag-json", store_codec: str = "dag-cbor", hash: str = "blake3"
    ) -> CID:
        """Stores an encoded object, in another codec unless the two are the same.

        The input may have the loose form that people type: JSON with spaces, keys in any order. What is stored is canonical.
        """
        block = _core.dag_recode(data, input_codec, store_codec)
        return self._store.put(block, codec=store_codec, hash=hash)

    def get(self, content: Content) -> Any:
        """The object that a path leads to: through maps and lists, along links, and by name through directories.

        Raises `NotFound` where the path breaks off.
        """
        return self._store._core.dag_get(content)

    def resolve(self, content: Content) -> tuple[CID, str]:
        """The last block on a path, and the names that lead on within it ("" when the path ends with the block)."""
        return self._store._core.dag_resolve(content)

    def stat(self, content: Content, *, progress: Watcher = None) -> DagStat:
        """The size of a DAG, whatever its codecs. Raises `NotFound` when a block of it is not here."""
        store = self._store
        return DagStat(*store._core.dag_stat(content, store._watch("stat", progress)))

    @overload
    def export_car(
        self, content: Content, out: None = None, *, version: int = 1, progress: Watcher = None
    ) -> Iterator[bytes]: ...
    @overload
    def export_car(
        self, content: Content, out: PathLike | int | BinaryIO, *, version: int = 1, progress: Watcher = None
    ) -> int: ...
    def export_car(
        self,
        content: Content,
        out: PathLike | int | BinaryIO | None = None,
        *,
        version: int = 1,
        progress: Watcher = None,
    ) -> Iterator[bytes] | int:
        """Writes a DAG as a CAR (version 1 or 2), every block verified, and returns how many bytes that is.

        To a path, where a file is replaced only when all is written, and a device or pipe is written to; to a descriptor or an open
        binary file; or, without `out`, as an iterator of pieces. Version 1 is byte for byte what `ipfs dag export` writes.
        """
        store = self._store
        watch = store._watch("export", progress)
        if out is None:
            return self._pieces(content, version, watch)
        if isinstance(out, str | os.PathLike):
            return self._export_to_path(content, os.path.expanduser(os.fspath(out)), version, watch)
        if isinstance(out, int):
            return store._core.export_car(content, out, version, watch)
        descriptor = descriptor_of(out)
        if descriptor is not None:
            return store._core.export_car(content, descriptor, version, watch)
        written = 0
        for piece in self._pieces(content, version, watch):
            written += write_all(out, piece)
        return written

    def _export_to_path(self, content: Content, path: str, version: int, watch: _core._Watch) -> int:
        if os.path.exists(path) and not os.path.isfile(path):
            # A rename would put a plain file in the place of a device or a pipe (/dev/null, /dev/stdout).
            try:
                with open(path, "wb", buffering=0) as file:
                    return self._store._core.export_car(content, file.fileno(), version, watch)
            except ExportError:
                raise
            except OSError as error:
                message = f"cannot write {path}: {error.strerror}"
                raise ExportError(message, errno=error.errno, filename=path) from None
        folder, name = os.path.split(os.path.abspath(path))
        temporary = os.path.join(folder, f".{name[:60]}.{os.urandom(6).hex()}.partial")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            message = f"cannot write into {folder}: {error.strerror}"
            raise ExportError(message, errno=error.errno, filename=folder) from None
        try:
            with open(descriptor, "wb", buffering=0) as file:
                written = self._store._core.export_car(content, file.fileno(), version, watch)
            os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError) and not isinstance(error, ExportError):
                message = f"cannot write {path}: {error.strerror}"
                raise ExportError(message, errno=error.errno, filename=path) from None
            raise
        return written

    def _pieces(self, content: Content, version: int, watch: _core._Watch) -> Iterator[bytes]:
        # What is not there, and what is no version, is said by the call and not by the first step.
        if version not in {1, 2}:
            raise InvalidInput("there are CARs of version 1 and 2")
        root, _rest = self._store.resolve(content)
        self._store.size(root)
        return _spooled(self._store, root, version, watch)

    def import_car(
        self,
        source: PathLike | BytesLike | BinaryIO,
        *,
        pin_roots: bool = True,
        adopt: str | None = None,
        progress: Watcher = None,
    ) -> Imported:
        """Takes in every block of a CAR (version 1 or 2), checked: all of them, or none.

        From a path, or an open binary file. With `pin_roots`, its roots are pinned, and all below them must be here then.
        Raises `CarError` for an archive that is malformed, cut short, or holds a block that is not what its CID says.

        With `adopt`, nothing is copied: the file itself, a CAR of version 1 on the store's own filesystem, becomes one of the store's
        packs once every block in it was checked. "move" takes it away from its place. "link" leaves it there: where the filesystem can
        share bytes between two files (btrfs, XFS), each goes its own way from then on ("cloned" in the result's `adopted`); elsewhere
        both names are one file ("linked"), and who writes to it, or cuts it, damages the store.
        """
        store = self._store
        watch = store._watch("import", progress)
        path, pieces = open_source(source)
        if adopt is not None:
            if path is None:
                raise InvalidInput("only a file can be adopted: give its path, or leave out adopt")
            (roots, blocks, size, new_blocks, new_size), how = store._core.adopt_car(path, adopt, pin_roots, watch)
            pinned = pin_roots and bool(roots)
            return Imported(roots, blocks, size, new_blocks, new_size, pinned=pinned, adopted=how)
        if path is not None:
            report = store._core.import_car(path, pin_roots, watch)
        else:
            report = store._core.import_car_stream(pieces, pin_roots, watch)
        roots, blocks, size, new_blocks, new_size = report
        return Imported(roots, blocks, size, new_blocks, new_size, pinned=pin_roots and bool(roots))


def _spooled(store: Store, root: CID, version: int, watch: _core._Watch) -> Iterator[bytes]:
    """The CAR by way of a pipe, which the store writes in a thread of its own while the pieces are taken out here."""
    import threading

    reader, writer = os.pipe()
    operation = watch["operation"] or _core.Operation()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            store._core.export_car(root, writer, version, {"operation": operation, "on_progress": None})
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            os.close(writer)

    thread = threading.Thread(target=write, name="shoal-export", daemon=True)
    thread.start()
    report = watch["on_progress"]
    try:
        while piece := os.read(reader, _PIECE_BYTES):
            yield piece
            if report is not None:
                report(*operation.progress())
    finally:
        # Left early, the writer is told; at the end there is nobody to tell.
        if thread.is_alive():
            operation.cancel()
        os.close(reader)
        thread.join()
    if failures:
        raise failures[0]
