"""What stands below a CID: what a path leads to, through symbolic links, and what a directory holds. Only ever read.

The one rule: a name that a directory does not have is `FileNotFoundError`; a block that is not in the store is `Incomplete`.
Programs take the first for an answer (zarr fills such a chunk with zeros), and nothing must be made up for the second.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shoal._core import CID, Path
from shoal.errors import Incomplete, InvalidInput, NotADirectory, NotAFile, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal import _core
    from shoal.results import Entry, Progress
    from shoal.store import Store

__all__ = ["Content", "incomplete"]

_LINKS_MAX = 40
"""Symbolic links followed for one path, as Linux does."""
_TARGET_CHARACTERS_MAX = 4096
"""Of a link's target, as PATH_MAX: bounds the names that a stranger's links can make us look up."""

_LINK = {"islink": True}


class Content:
    """Reads below one CID of a store. `names` are those after the CID in a path."""

    def __init__(self, store: Store, root: CID, names: tuple[str, ...]) -> None:
        self._store = store
        self._root = root
        self._names = names
        self.path = "/".join((str(root), *names))

    def is_here(self) -> bool:
        """Whether the store has the root at all."""
        return self._store.has(self._root)

    def entry(self) -> Entry:
        """What the path leads to, the last link followed. Raises what `open` and `os.stat` do."""
        with self._errors():
            try:
                entry = self._store.stat_path(Path(self._root, *self._names))
            except NotADirectory:
                return self._walk()
        return self._walk() if entry.kind == "symlink" else entry

    def own_entry(self) -> Entry:
        """What the path leads to, the last link itself where it is one."""
        with self._errors():
            try:
                return self._store.stat_path(Path(self._root, *self._names))
            except NotADirectory:
                return self._walk(follow_last=False)

    def reader(self) -> _core.FileReader:
        """The file that the path leads to, open."""
        with self._errors():
            core = self._store._core
            try:
                return core.open_file(Path(self._root, *self._names))
            except (NotAFile, NotADirectory):
                entry = self._walk()
            if entry.kind == "directory":
                raise IsADirectoryError(errno.EISDIR, "this is a directory; ls lists it", self.path)
            return core.open_file(entry.cid)

    def get(self, target: str, progress: Callable[[Progress], None]) -> None:
        """Copies the file that the path leads to, to disk, in place of one that is there."""
        entry = self.entry()
        with self._errors():
            self._store.get(entry.cid, target, force=True, progress=progress)

    def info(self) -> dict[str, Any]:
        """What fsspec calls info: of the file or directory that the path leads to."""
        own = self.own_entry()
        if own.kind != "symlink":
            return _as_info(self.path, own)
        target = self._walk()
        return _as_info(self.path, target) | _LINK | {"destination": own.target}

    def listing(self) -> list[dict[str, Any]]:
        """The infos of a directory's entries, or of the file itself."""
        entry = self.entry()
        if entry.kind != "directory":
            return [self.info()]
        with self._errors():
            return [self._listed(child) for child in self._children(entry.cid)]

    def _children(self, directory: CID) -> list[Entry]:
        try:
            return list(self._store.ls(directory))
        except NotFound:
            # Some of them are not here. What they are called, their directory knows.
            return list(self._store.ls(directory, resolve=False))

    def _listed(self, child: Entry) -> dict[str, Any]:
        if child.name in {"", ".", ".."} or "/" in child.name or "\0" in child.name:
            # A copy to disk would be led astray by it, and fsspec joins names without a look at them.
            # Not an OSError, which `walk` would pass over.
            message = f"a directory below {self._root} has an entry that no path can name; what else is in it can be read by its path"
            raise InvalidInput(message)
        path = f"{self.path}/{child.name}"
        if child.kind == "unknown":
            try:
                child = self._store.stat_path(child.cid)
            except NotFound:
                return _as_info(path, child)
        if child.kind != "symlink":
            return _as_info(path, child)
        link = {"name": path, "size": 0, "type": "link", "cid": str(child.cid), **_LINK, "destination": child.target}
        try:
            target = Content(self._store, self._root, (*self._names, child.name)).entry()
        except (OSError, Incomplete):
            return link
        # A link to a directory is not gone into by walk and find, which might go round in circles.
        return link if target.kind == "directory" else _as_info(path, target) | _LINK | {"destination": child.target}

    def _walk(self, *, follow_last: bool = True) -> Entry:
        """Goes down name by name and follows links, none of them out of the root."""
        with self._errors():
            return self._walked(follow_last=follow_last)

    def _walked(self, *, follow_last: bool) -> Entry:
        left = list(reversed(self._names))
        above = [self._store.stat_path(self._root)]
        links = 0
        while left:
            name = left.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                if len(above) == 1:
                    raise self._not_found("a link on the way leads out of its root")
                above.pop()
                continue
            try:
                entry = self._store.stat_path(above[-1].cid / name)
            except NotADirectory:
                raise NotADirectoryError(errno.ENOTDIR, "a file has nothing below it", self.path) from None
            if entry.kind != "symlink" or (not left and not follow_last):
                above.append(entry)
                continue
            links += 1
            target = entry.target or ""
            if links > _LINKS_MAX:
                raise OSError(errno.ELOOP, f"more than {_LINKS_MAX} links follow one another", self.path)
            if target.startswith("/") or len(target) > _TARGET_CHARACTERS_MAX:
                raise self._not_found("a link on the way leads out of its root")
            left.extend(reversed(target.split("/")))
        if len(above) == 1 and above[0].kind == "symlink":
            raise self._not_found("the root is a link, and there is nothing beside it")
        return above[-1]

    def _not_found(self, why: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, why, self.path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Shoal's errors as the built-in ones that users of fsspec catch."""
        try:
            yield
        except NotFound as error:
            if error.cid is None or not self._store.has(error.cid):
                raise incomplete(error, self.path) from error
            raise self._not_found("the directory has no such name") from error


def incomplete(error: NotFound, path: str) -> Incomplete:
    """What is raised for a block that is not here."""
    message = f"{path} is not whole here: {error.message}; get it from who has it (`shoal dag import`), then try again"
    return Incomplete(message, cid=error.cid)


def _as_info(path: str, entry: Entry) -> dict[str, Any]:
    kind = entry.kind if entry.kind in {"file", "directory"} else "other"
    info: dict[str, Any] = {
        "name": path,
        "size": 0 if kind == "directory" else entry.size,
        "type": kind,
        "cid": str(entry.cid),
        "islink": False,
    }
    if entry.mode is not None:
        info["mode"] = entry.mode
    if entry.mtime is not None:
        info["mtime"] = entry.mtime
    return info
