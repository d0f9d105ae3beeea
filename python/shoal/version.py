"""The version of a store's format, and the way to this program's.

Functions of a folder and not of a `Store`: a store of another version cannot be opened. Nothing here makes a store.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shoal import _core
from shoal.results import Migrated, StoreVersion

if TYPE_CHECKING:
    from shoal.content import PathLike

__all__ = ["migrate", "store_version"]


def _folder(path: PathLike | None) -> str:
    if path is None:
        path = os.environ.get("SHOAL_PATH") or "~/.shoal"
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def store_version(path: PathLike | None = None) -> StoreVersion:
    """The version of a store's format, also of one too new to be opened. `path` as for `Store`.

    Raises `StoreFormat` when the folder is no store.

        >>> import shoal
        >>> shoal.Store("/tmp/shoal-example").close()
        >>> store_version("/tmp/shoal-example").found
        1
    """
    return StoreVersion(*_core.store_version(_folder(path)))


def migrate(path: PathLike | None = None, *, dry_run: bool = False) -> Migrated:
    """Brings a store to the version that this program works with; with `dry_run`, only says how. Back up the store first.

    One that was cut short is taken up by the next. Raises `StoreFormat` when the store is newer than this program, or none, and
    `StoreLocked` when another process is writing to it.
    """
    from_version, to_version, steps = _core.migrate_store(
        _folder(path), dry_run, {"operation": None, "on_progress": None}
    )
    return Migrated(from_version, to_version, steps, dry_run)
