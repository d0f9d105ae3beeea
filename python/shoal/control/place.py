"""Where the socket of a store's node is: in the store's folder, or, where that path is too long for a socket, under a short name.

The system takes 107 bytes for the path of a socket. The short name is made of the store's path, so that every command finds it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from shoal.errors import StoreError

__all__ = ["PATH_BYTES_MAX", "SOCKET_NAME", "socket_path"]

SOCKET_NAME: Final = "node.sock"
PATH_BYTES_MAX: Final = 107
"""`sun_path` has 108 bytes in Linux, with the zero at its end."""
_NAME_DIGITS: Final = 32


def socket_path(store_path: str | os.PathLike[str]) -> Path:
    """The path of a store's socket, whether or not there is one. Nothing is made.

    >>> from shoal.control.place import socket_path
    >>> str(socket_path("/s"))
    '/s/node.sock'
    """
    store = Path(os.path.abspath(store_path)).resolve()
    beside = store / SOCKET_NAME
    if len(os.fsencode(beside)) <= PATH_BYTES_MAX:
        return beside
    name = hashlib.sha256(os.fsencode(store)).hexdigest()[:_NAME_DIGITS] + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        short = Path(runtime, "shoal", name)
        if len(os.fsencode(short)) <= PATH_BYTES_MAX:
            return short
    return Path(f"/tmp/shoal-{os.getuid()}", name)  # noqa: S108 - the folder is made for its owner, and checked


def make_folder(socket: Path) -> None:
    """Makes the folder of a socket that is not in its store: its owner's alone. Raises `StoreError` where it is another's."""
    folder = socket.parent
    if socket.name == SOCKET_NAME:
        return
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise StoreError(
            f"the node's socket cannot be made in {folder}: {error.strerror}; give the store a shorter path"
        ) from None
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise StoreError(f"{folder} is not this user's alone: remove it, or give the store a shorter path")
