"""Blobs: whole files under one BLAKE3 CID, of which any part can be given and taken with what proves it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO

from shoal.content import open_source
from shoal.errors import ExportError, SourceError
from shoal.results import Presence
from shoal.target import descriptor_of, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shoal._core import CID
    from shoal.content import AnyCID, BytesLike, PathLike
    from shoal.store import Store

__all__ = ["BlobApi"]

_COPY_BYTES = 1024 * 1024


class BlobApi:
    """`store.blob`: slices and outboards of blobs, and of any BLAKE3 block.

    `Store.add` makes them where the profile has the layout "blob"; `open`, `read`, `cat` and `get` read them, whole or in part.
    A blob may be here in part: what is here is verified and can be read and given on. A **slice** is the length of the whole in
    eight bytes, and then the 16 KiB groups that touch the ranges asked for, with the nodes that prove them: what iroh sends (crate
    `bao-tree`, block size 4). An **outboard** is all nodes without the data.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def export_slice(
        self, cid: AnyCID, out: PathLike | int | BinaryIO, ranges: Sequence[tuple[int, int]] | None = None
    ) -> int:
        """Writes a slice and returns how many bytes it has. Every byte is checked on its way out.

        `ranges` are pairs of offset and length in bytes; without them, all. One behind the end means the last group, which proves
        the length. Raises `NotFound` when a part of it is not here, before anything is written.
        """
        store = self._store
        given = None if ranges is None else list(ranges)
        return _write(out, lambda fd: store._core.export_slice(cid, fd, given, store._watch("export")))

    def import_slice(
        self,
        cid: AnyCID,
        source: PathLike | BytesLike | BinaryIO,
        ranges: Sequence[tuple[int, int]] | None = None,
        *,
        pin: bool = True,
    ) -> Presence:
        """Takes in a slice of these ranges (the same that it was made with) and returns what is here of the blob by then.

        What is verified stays, and is durable when this returns; a process that is killed loses at most the last second's groups.
        When all is here, it is an ordinary blob, pinned if `pin`. Raises `InvalidInput` where the slice does not lead up to the
        hash; what stood before that is kept.
        """
        given = None if ranges is None else list(ranges)
        store = self._store
        with _pieces(source) as pieces:
            return Presence(*store._core.import_slice(cid, pieces, given, pin, store._watch("import")))

    def export_outboard(self, cid: AnyCID, out: PathLike | int | BinaryIO) -> int:
        """Writes the outboard, all nodes in pre-order (iroh's `.obao4`), and returns how many bytes it has."""
        store = self._store
        return _write(out, lambda fd: store._core.export_outboard(cid, fd, store._watch("export")))

    def import_outboard(self, cid: AnyCID, size: int, source: PathLike | BytesLike | BinaryIO) -> None:
        """Takes in the outboard of a blob of `size` bytes; then `import_data` can check its data, whoever they come from."""
        store = self._store
        with _pieces(source) as pieces:
            store._core.import_outboard(cid, size, pieces, store._watch("import"))

    def import_data(
        self, cid: AnyCID, source: PathLike | BytesLike | BinaryIO, *, offset: int = 0, pin: bool = True
    ) -> Presence:
        """Takes in plain data from `offset` on (a multiple of 16384), checked along the outboard that is here."""
        store = self._store
        with _pieces(source) as pieces:
            return Presence(*store._core.import_data(cid, pieces, offset, pin, store._watch("import")))

    def present(self, cid: AnyCID) -> Presence | None:
        """What is here of a blob or block; None when nothing is."""
        found = self._store._core.present(cid)
        return None if found is None else Presence(*found)

    def discard(self, cid: AnyCID) -> bool:
        """Removes what is here of a partial blob: whether there was anything. Whole blobs go with `Store.delete`."""
        store = self._store
        return store._core.discard_partial(cid, store._watch("delete"))

    def ls(self) -> Iterator[CID]:
        """The CIDs of all whole blobs."""
        return iter(self._store._core.blobs())


def _write(out: PathLike | int | BinaryIO, export: Callable[[int], int]) -> int:
    if isinstance(out, int):
        return export(out)
    if isinstance(out, str | os.PathLike):
        return _write_path(os.path.expanduser(os.fspath(out)), export)
    descriptor = descriptor_of(out)
    if descriptor is not None:
        return export(descriptor)
    # A file without a descriptor takes it from a temporary one. Imported here, since it costs more than all of Shoal.
    import tempfile

    with tempfile.TemporaryFile() as spool:
        written = export(spool.fileno())
        spool.seek(0)
        while piece := spool.read(_COPY_BYTES):
            write_all(out, piece)
    return written


def _write_path(path: str, export: Callable[[int], int]) -> int:
    """Writes under a hidden name that takes its place at the end; to a device or pipe, straight."""
    is_special = os.path.exists(path) and not os.path.isfile(path)
    folder, name = os.path.split(os.path.abspath(path))
    target = path if is_special else os.path.join(folder, f".{name[:60]}.{os.urandom(6).hex()}.partial")
    try:
        with open(target, "wb" if is_special else "xb", buffering=0) as file:
            written = export(file.fileno())
        if not is_special:
            os.replace(target, path)
    except BaseException as error:
        if not is_special:
            with contextlib.suppress(OSError):
                os.unlink(target)
        if isinstance(error, OSError) and not isinstance(error, ExportError):
            message = f"cannot write {path}: {error.strerror}"
            raise ExportError(message, errno=error.errno, filename=path) from None
        raise
    return written


@contextlib.contextmanager
def _pieces(source: PathLike | BytesLike | BinaryIO) -> Iterator[Iterator[BytesLike]]:
    path, pieces = open_source(source)
    if pieces is not None:
        yield pieces
        return
    assert path is not None  # noqa: S101
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        message = f"cannot open {path}: {error.strerror}"
        raise SourceError(message, errno=error.errno, filename=path) from None
    with file:
        opened, read = open_source(file)
        assert opened is None  # noqa: S101
        assert read is not None  # noqa: S101
        yield read
