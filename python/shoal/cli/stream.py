"""Stdin, stdout and stderr as the commands rely on them, whatever the environment says.

The one rule: raw bytes go out only after every line that was printed before them.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import IO, TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_STDERR = 2
_READ_BYTES = 1 << 20
_SLICE_MILLISECONDS = 100


def settle_streams() -> None:
    """Makes stdout and stderr what the commands rely on, whatever the environment says.

    They are UTF-8, and escape what UTF-8 cannot carry. Stdout is buffered, by lines on a terminal: unbuffered, as
    PYTHONUNBUFFERED makes it, Python forgets the rest of a write that is cut short. And they exist: a descriptor that
    the caller closed would be given to the next file that is opened, such as one of the store's.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = _text_stream(1)
    sys.stderr = _text_stream(_STDERR)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    by_lines = descriptor == _STDERR or os.isatty(descriptor)
    raw = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", newline="\n", line_buffering=by_lines)


def standard_input() -> BinaryIO:
    """Bytes of stdin, for commands that read it on purpose; returns when there are some, or their end.

    So a command that adds what it reads takes the writer's place only then, and whoever feeds it may write before.
    """
    stream = io.BufferedReader(_Waiting(sys.stdin.fileno()), _READ_BYTES)
    stream.peek(1)
    return stream


class _Waiting(io.RawIOBase):
    """A descriptor that is waited for in slices, between which Ctrl-C is heard.

    Python by itself loses a Ctrl-C that comes just before it blocks: the read would go on until there is something.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._poll.poll(_SLICE_MILLISECONDS):
            pass
        return os.readv(self._descriptor, [buffer])


def standard_output() -> int:
    """The descriptor of stdout for raw bytes, after everything printed so far has gone out."""
    sys.stdout.flush()
    return sys.stdout.fileno()


def is_piped(stream: IO[Any]) -> bool:
    """Whether somebody redirected this stream, so that bytes may be read from or written to it."""
    return not stream.closed and not stream.isatty()
