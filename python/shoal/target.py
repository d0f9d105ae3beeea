"""Where content goes: descriptors and binary files. The counterpart of `content.py`, where it comes from.

The one rule: a file whose descriptor is written to has nothing left in its own buffer.
"""

from __future__ import annotations

import contextlib
from typing import Any, BinaryIO

from shoal.errors import InvalidInput
from shoal.file import File

__all__ = ["descriptor_of", "write_all"]


def descriptor_of(out: BinaryIO) -> int | None:
    """The descriptor of a file whose own buffer is empty now, or None."""
    if isinstance(out, File):
        raise InvalidInput("a file of a store cannot be written to")
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = out.fileno()
        out.flush()
        return descriptor
    return None


def write_all(out: Any, piece: bytes) -> int:
    """Writes a piece to a file that may take less than it is given."""
    view = memoryview(piece)
    while view:
        count = out.write(view)
        if count is None:
            raise BlockingIOError("the file to write to does not block, and has no room just now")
        view = view[count:]
    return len(piece)
