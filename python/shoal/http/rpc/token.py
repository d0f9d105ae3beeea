"""The token that lets programs of this machine's owner in: a secret in the store's folder, made at the first start.

The one rule: nobody but the owner can read it, or it is not used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from shoal.errors import InvalidInput

__all__ = ["TOKEN_FILE", "token_of"]

TOKEN_FILE = "rpc-token"  # noqa: S105 - the file's name
_TOKEN_BYTES = 32
_LENGTH_MIN, _LENGTH_MAX = 32, 256


def token_of(folder: str | os.PathLike[str]) -> str:
    """The token in a store's folder; made, for its owner alone, when there is none.

    Raises `InvalidInput` for a file that others can read, or that holds no token.
    """
    path = Path(folder) / TOKEN_FILE
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    # Whole or not at all: it gets its name once it is written, and of two that start at once both use the first one's.
    temporary = path.with_name(f".{TOKEN_FILE}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(_TOKEN_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise InvalidInput(f"cannot make the token {path}: {error.strerror}") from None
    return _read(path)


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidInput(f"cannot read the token {path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077:
            raise InvalidInput(f"others can read the token {path}: delete it, and a new one is made, or chmod 600 it")
        text = file.read(_LENGTH_MAX + 2).decode("ascii", "replace").strip()
    if not _LENGTH_MIN <= len(text) <= _LENGTH_MAX or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInput(f"{path} holds no token: delete it, and a new one is made")
    return text
