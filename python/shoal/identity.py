"""The key that says who a node is: made once, kept in the store's folder as `keys/self`, readable by its owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from shoal._core import Identity
from shoal.errors import InvalidInput, StoreError

FOLDER = "keys"
NAME = "self"
_FILE_BYTES_MAX = 4096


def load_identity(store_path: str) -> Identity:
    """The key of a store's node; a new one where there is none. The file is a libp2p key in protobuf, as Kubo's `key export` gives.

    Raises `InvalidInput` where the file is no Ed25519 key or others can read it, and `StoreError` where it cannot be made.
    """
    path = Path(store_path, FOLDER, NAME)
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    try:
        _write(path, Identity.from_seed(os.urandom(32)))
        # Another process may have been first: its key counts.
        return _read(path)
    except OSError as error:
        raise StoreError(f"the node's key cannot be kept in {path}: {error}; check the folder's permissions") from error


def passing_identity() -> Identity:
    """A key that is kept nowhere: for a node that only fetches, beside others over the same store."""
    return Identity.from_seed(os.urandom(32))


def _read(path: Path) -> Identity:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077:
            raise InvalidInput(f"{path} can be read by others: a key is its owner's alone; use `chmod 600 {path}`")
        data = file.read(_FILE_BYTES_MAX)
    try:
        return Identity(data)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}; move the file away, and the node gets a new key") from error


def _write(path: Path, identity: Identity) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f"{NAME}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(identity.to_protobuf())
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link fails where the name is taken, a rename would replace it.
            os.link(draft, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
