"""Progress on stderr: a bar on a terminal, a line a second where `--progress` asks for it without one.

Quiet otherwise, and quiet for anything that ends at once: rich is imported only when there is something to draw.
The one rule: nothing here ever writes to stdout, except the lines that a bar has to make room for.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from shoal.cli.output import Output, human_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import rich.progress

    from shoal import Progress

# Shorter jobs show nothing: importing rich would cost more than the wait it explains.
_QUIET_SECONDS = 0.3
_LINE_SECONDS = 1.0
_NAME_WIDTH_MAX = 32


class _Bar:
    """A rich progress bar, drawn after the first third of a second."""

    def __init__(self, verb: str, output: Output) -> None:
        self._verb = verb
        self._output = output
        self._begun = time.monotonic()
        self._rich: rich.progress.Progress | None = None
        self._task: Any = None

    def __call__(self, progress: Progress) -> None:
        if self._rich is None:
            if time.monotonic() - self._begun < _QUIET_SECONDS:
                return
            self._rich, self._task = self._draw()
        name = printable(progress.current or "")
        if len(name) > _NAME_WIDTH_MAX:
            name = "…" + name[1 - _NAME_WIDTH_MAX :]
        files = f"{progress.files:,} files" if progress.files > 1 else ""
        self._rich.update(
            self._task,
            description=progress.phase or self._verb,
            completed=progress.bytes,
            total=progress.bytes_total,
            files=files,
            current=name,
        )

    def _draw(self) -> tuple[rich.progress.Progress, rich.progress.TaskID]:
        from rich import progress as bars
        from rich.console import Console

        bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TransferSpeedColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[files]} {task.fields[current]}", markup=False),
            console=Console(stderr=True, no_color=not self._output.color),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        task = bar.add_task(self._verb, total=None, files="", current="")
        bar.start()
        self._output.above = self
        return bar, task

    def print_above(self, line: str) -> None:
        from rich.text import Text

        if self._rich is not None:
            self._rich.console.print(Text.from_ansi(line), soft_wrap=True)

    def close(self) -> None:
        self._output.above = None
        if self._rich is not None:
            self._rich.stop()


class _Lines:
    """A line a second, for logs."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._next = time.monotonic()
        self._last: Progress | None = None
        self._written: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._write(progress)

    def _write(self, progress: Progress) -> None:
        total = f" of {human_bytes(progress.bytes_total)}" if progress.bytes_total is not None else ""
        files = f", {progress.files:,} files" if progress.files else ""
        sys.stderr.write(f"{progress.phase or self._verb}: {human_bytes(progress.bytes)}{total}{files}\n")
        sys.stderr.flush()
        self._written = progress

    def close(self) -> None:
        if self._last is not None and self._last is not self._written:
            self._write(self._last)


@contextlib.contextmanager
def shown(verb: str, output: Output, wanted: bool | None) -> Iterator[Callable[[Progress], None] | None]:
    """A callback that draws progress until the block ends, or None where there is nobody to see it.

    `wanted` is the user's word: True always, False never, None only on a terminal and not beside JSON.
    """
    terminal = sys.stderr.isatty()
    if wanted is False or (wanted is None and (not terminal or output.json)):
        yield None
        return
    meter = _Bar(verb, output) if terminal else _Lines(verb)
    try:
        yield meter
    finally:
        meter.close()
