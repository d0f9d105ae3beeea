"""Stdin, stdout and stderr as the commands rely on them, whatever the environment says.

The one rule: raw bytes go out only after every line that was printed before them.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any, BinaryIO

_STDERR = 2


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
    if isinstance(sys.stdin.buffer, io.BufferedReader):
        sys.stdin.buffer.peek(1)
    return sys.stdin.buffer


def standard_output() -> int:
    """The descriptor of stdout for raw bytes, after everything printed so far has gone out."""
    sys.stdout.flush()
    return sys.stdout.fileno()


def is_piped(stream: IO[Any]) -> bool:
    """Whether somebody redirected this stream, so that bytes may be read from or written to it."""
    return not stream.closed and not stream.isatty()
