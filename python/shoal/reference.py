"""References: files that were added without a copy, and stay where they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shoal.errors import InvalidInput
from shoal.results import ChangedFile, Forgotten, Reference, ReferenceReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shoal.content import PathLike
    from shoal.results import Progress
    from shoal.store import Store

__all__ = ["ReferenceApi"]


class ReferenceApi:
    """`store.references`: files that `add` was told to leave where they are (`nocopy`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ls(self) -> list[Reference]:
        """Every file that blocks are read from, by path. The files are not looked at.

        One that was added again after it changed comes for each time, until `forget` or `gc` drops what is past.
        """
        store = self._store
        return [
            Reference(path, size, modified_ns / 1e9, blocks, block_bytes)
            for path, size, modified_ns, blocks, block_bytes in store._core.references(store._watch("list"))
        ]

    def check(self, *, full: bool = False, progress: Callable[[Progress], None] | None = None) -> ReferenceReport:
        """Looks whether the files are as they were when they were added; with `full`, reads and hashes all of them.

        Without `full` this is one look at each file, and finds what programs do to files. Only reading them finds what a disk does.
        Changes nothing, and raises nothing for a changed file: look at the report.
        """
        store = self._store
        files, rows = store._core.references_check(full, store._watch("check", progress))
        changed = [ChangedFile(*row) for row in rows]
        return ReferenceReport(files, changed, not changed)

    def forget(self, paths: Iterable[PathLike] = (), *, changed: bool = False) -> Forgotten:
        """Forgets these files, and all below these folders; or, with `changed`, the files that are not as they were.

        The files themselves are left alone. Blocks that stand nowhere else are not in the store any more: `verify` says which pins
        that hurts. Durable when it returns. Raises `StoreLocked`, `ReadOnly`.
        """
        if isinstance(paths, str | bytes | os.PathLike):
            raise TypeError("paths is a sequence of paths, not one path")
        # As they are found from here, now.
        wanted = [os.path.abspath(os.path.expanduser(os.fspath(path))) for path in paths]
        if bool(wanted) == changed:
            raise InvalidInput("forget takes either paths, or changed=True")
        store = self._store
        return Forgotten(*store._core.references_forget(None if changed else wanted, store._watch("forget")))
