"""Drafts: trees that are being written, each a plain folder with a name, until a commit gives it a CID.

A store's drafts stand in its folder `drafts` (store.md §1): `drafts/NAME/tree` is what will be added, a folder or a single file, and
`drafts/NAME/part` holds files that are still open for writing. So threads and processes that write to a draft see one and the same,
a draft outlives a crash, and nothing of it is in the store before its commit.

The one rule: a file stands in its tree whole, or not at all. It is written beside the tree and moved into it when it is closed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

from shoal._core import CID
from shoal.errors import InvalidCID

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from shoal.filesystem.system import ShoalFileSystem

__all__ = ["DraftFile", "Drafts"]

_COMMITTING = ".committing"
_NAME_BYTES_MAX = 200
"""Of a draft's name: leaves room for what stands behind it while it is committed."""

_BUFFER_BYTES = 256 * 1024


class Drafts:
    """The drafts of a store. `names` are the parts of a path: the draft's name, then those in its tree."""

    def __init__(self, store_path: str) -> None:
        self._folder = os.path.join(store_path, "drafts")

    def names(self) -> list[str]:
        """The drafts that there are."""
        try:
            found = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        return [name for name in found if os.path.lexists(os.path.join(self._folder, name, "tree"))]

    def place(self, names: tuple[str, ...]) -> str:
        """Where on disk a path is, whether there is something or not."""
        name, *below = names
        if name.startswith(".") or len(os.fsencode(name)) > _NAME_BYTES_MAX or _is_cid(name):
            message = f"a draft's name does not begin with a dot, is no CID, and has at most {_NAME_BYTES_MAX} bytes"
            raise ValueError(message)
        if any(part in {"", ".", ".."} for part in below) or any("\0" in part for part in names):
            raise ValueError("names in a draft are not empty, '.' or '..', and hold no NUL")
        return os.path.join(self._folder, name, "tree", *below)

    def make_parents(self, names: tuple[str, ...]) -> str:
        """The place of a path, the folders above it made."""
        place = self.place(names)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        return place

    def part(self, names: tuple[str, ...]) -> tuple[int, str]:
        """A new file beside the tree, open: its descriptor and its place."""
        folder = os.path.join(self._folder, names[0], "part")
        os.makedirs(folder, exist_ok=True)
        # Not by tempfile, whose files are for their owner alone: those of a draft are as any program makes them.
        place = os.path.join(folder, secrets.token_hex(16))
        return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), place

    def remove(self, name: str) -> None:
        """Removes a draft, and what is half written of it."""
        folder = os.path.dirname(self.place((name,)))
        if not os.path.isdir(folder):
            raise _no_draft(name)
        shutil.rmtree(folder)

    def take(self, name: str, add: Callable[[str], CID]) -> CID:
        """Adds a draft by `add`, which gets its place, and removes it. If `add` fails, the draft is as it was.

        The draft loses its name first. A file that is still open has nowhere to go then, and says so when it is closed.
        """
        place = self.place((name,))
        if not os.path.lexists(place):
            raise _no_draft(name)
        folder, taken = os.path.dirname(place), os.path.join(self._folder, name + _COMMITTING)
        try:
            os.rename(folder, taken)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            message = (
                f"a commit of the draft {name!r} is under way, or was cut short; "
                f"in that case commit or discard {name + _COMMITTING!r} first"
            )
            raise FileExistsError(errno.EEXIST, message) from None
        try:
            cid = add(os.path.join(taken, "tree"))
        except BaseException:
            if not os.path.lexists(folder):
                os.rename(taken, folder)
            raise
        shutil.rmtree(taken)
        return cid


class DraftFile(io.BufferedWriter):
    """A file of a draft, open for writing. It stands in the draft once it is closed, and not if its `with` block raises.

    With `autocommit` false, as in a transaction of fsspec, only once `commit` is called. What wraps it (text, compression,
    `fsspec.open`) closes it in either case, and so finishes it; `with fs.transaction:` is what an error then undoes.
    """

    def __init__(self, fs: ShoalFileSystem, path: str, names: tuple[str, ...], mode: str, *, autocommit: bool) -> None:
        drafts = fs.drafts
        place = drafts.place(names)
        if os.path.isdir(place):
            raise IsADirectoryError(errno.EISDIR, "this is a directory", path)
        self._is_exclusive = "x" in mode
        if self._is_exclusive and os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, "this is there already", path)
        drafts.make_parents(names)
        descriptor, self._part = drafts.part(names)
        self._is_pending = True
        super().__init__(io.FileIO(descriptor, "wb"), _BUFFER_BYTES)
        self.fs, self.path, self._place, self._autocommit = fs, path, place, autocommit
        try:
            if "a" in mode and os.path.lexists(place):
                with open(place, "rb") as before:
                    shutil.copyfileobj(before, self)
        except BaseException:
            self.discard()
            raise

    @property
    def mode(self) -> str:
        """ "wb"."""
        return "wb"

    def close(self) -> None:
        """Writes what is left and puts the file in its place."""
        if self.closed:
            return
        try:
            super().close()
        except BaseException:
            self.discard()
            raise
        if self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Puts the closed file in its place."""
        if not self._is_pending:
            return
        self._is_pending = False
        try:
            if self._is_exclusive:
                os.link(self._part, self._place)
                os.unlink(self._part)
            else:
                os.replace(self._part, self._place)
        except FileNotFoundError:
            message = "the draft was committed or discarded while this file was open, and the file is in neither"
            raise FileNotFoundError(errno.ENOENT, message, self.path) from None
        except OSError:
            os.unlink(self._part)
            raise

    def discard(self) -> None:
        """Closes the file and throws it away. What stood in its place stands there."""
        self._autocommit = False
        try:
            super().close()
        finally:
            if self._is_pending:
                self._is_pending = False
                with contextlib.suppress(FileNotFoundError):  # gone with its draft
                    os.unlink(self._part)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Never closed, so never finished.
        if getattr(self, "_is_pending", False) and not self.closed:
            self.discard()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a file that is being written cannot be pickled")


def _is_cid(text: str) -> bool:
    try:
        CID(text)
    except InvalidCID:
        return False
    return True


def _no_draft(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such draft", name)
