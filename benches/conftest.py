"""What the suites share: a folder in memory, a file and a tree in it, and the lines that hold the yardsticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benches.machine import this_machine
from benches.material import MIB, count, is_memory_backed, painted_file, painted_tree, tree_size, working_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benches.yardstick import Yardstick

_lines: list[str] = []


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with working_folder() as path:
        if not is_memory_backed(path):
            _lines.append("the working folder is on a disk: figures are the disk's as much as Shoal's")
        yield path


@pytest.fixture(scope="session")
def file(folder: Path) -> Path:
    """A painted file of SHOAL_BENCH_MIB."""
    return painted_file(folder / "file", count("SHOAL_BENCH_MIB", 64) * MIB)


@pytest.fixture(scope="session")
def tree(folder: Path) -> Path:
    """A tree of SHOAL_BENCH_FILES files."""
    return painted_tree(folder / "tree", count("SHOAL_BENCH_FILES", 2000))


@pytest.fixture(scope="session")
def tree_bytes(tree: Path) -> int:
    return tree_size(tree)[1]


@pytest.fixture
def beside(request: pytest.FixtureRequest) -> Callable[[float, int, Yardstick | None], None]:
    """Sets the best seconds of a benchmark beside a yardstick, to be printed at the end of the run."""

    def say(ours: float, size: int, yardstick: Yardstick | None) -> None:
        line = yardstick.line(ours, size) if yardstick else f"{ours:.3f} s; yardstick not there"
        _lines.append(f"{request.node.name}: {line}")

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    machine = this_machine()
    terminalreporter.section("beside the yardsticks")
    terminalreporter.write_line(
        f"{machine.processor}, {machine.cores_used} of {machine.cores} cores, "
        f"{' '.join(machine.flags)}, {machine.kernel}"
    )
    for line in _lines:
        terminalreporter.write_line(line)
