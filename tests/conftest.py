"""What every test may lean on: a store of its own, and counterparts that are found or named as missing.

Not a place for tools that one suite needs. The one rule: nothing is left out silently. A counterpart that is
missing fails the test in continuous integration; elsewhere the test is skipped, and the run's last lines say why.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KUBO_VERSION = "0.42.0"
CACHE = Path(
    os.environ.get("SHOAL_CI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoal-ci"
)

# A shell that starts the run in the background has it ignore Ctrl-C, and every child of a test would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_missing: dict[str, int] = {}
_notes: list[str] = []
_deselected_interop: list[str] = []


def in_continuous_integration() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _end_for_lack_of(counterpart: str, how_to_get_it: str) -> None:
    """Ends the running test for lack of a counterpart: failed in continuous integration, else skipped and named."""
    _missing[f"{counterpart}: {how_to_get_it}"] = _missing.get(f"{counterpart}: {how_to_get_it}", 0) + 1
    if in_continuous_integration():
        pytest.fail(f"counterpart missing: {counterpart}; {how_to_get_it}")
    pytest.skip(f"counterpart missing: {counterpart}")


@pytest.fixture(scope="session")
def closing_note() -> Callable[[str], None]:
    """Call it with a line that is to stand at the end of the run."""
    return _notes.append


@pytest.fixture(scope="session")
def missing_counterpart() -> Callable[[str, str], None]:
    """Call it with the name of a program that is not there, and how to get it. It ends the test by the rule above."""
    return _end_for_lack_of


@pytest.fixture(autouse=True)
def store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test ever touches the store of the person who runs it: `SHOAL_PATH` is a folder that does not exist yet."""
    path = tmp_path / "shoal-store"
    monkeypatch.setenv("SHOAL_PATH", str(path))
    # Nodes of tests that run at the same time must not find each other; tests of that turn it on.
    monkeypatch.setenv("SHOAL_NODE_MDNS", "0")
    return path


def _kubo_version(binary: Path) -> str | None:
    try:
        return subprocess.run(
            [binary, "version", "--number"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@pytest.fixture(scope="session")
def kubo_binary() -> Path:
    """The `ipfs` of the Kubo version that the interop tests are written against."""
    found = [os.environ.get("SHOAL_KUBO"), CACHE / f"kubo-{KUBO_VERSION}" / "ipfs", shutil.which("ipfs")]
    for candidate in found:
        if candidate and _kubo_version(Path(candidate)) == KUBO_VERSION:
            return Path(candidate)
    _end_for_lack_of(f"Kubo {KUBO_VERSION}", "run .ci/kubo, or set SHOAL_KUBO to its ipfs binary")
    raise AssertionError("unreachable")


@pytest.fixture(scope="session")
def ci_cache() -> Path:
    """The folder in which `.ci/run` keeps what it fetches."""
    return CACHE


@pytest.fixture
def kubo_environment(kubo_binary: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which `ipfs` is that Kubo, offline, with an empty repository of its own."""
    repository = tmp_path / "kubo"
    environment = {
        **os.environ,
        "IPFS_PATH": str(repository),
        "PATH": f"{kubo_binary.parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run([kubo_binary, "init", "--profile=test"], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture(scope="session")
def fixtures_folder() -> Path:
    """The public fixtures that `.ci/fixtures` fetches."""
    folder = Path(os.environ.get("SHOAL_FIXTURES") or CACHE / "fixtures")
    if not folder.is_dir():
        _end_for_lack_of("public fixtures", "run .ci/fixtures, or set SHOAL_FIXTURES to their folder")
    return folder


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    interop = {item.nodeid for item in items if item.get_closest_marker("interop")}
    yield
    # Other hooks have taken out what -m deselects by now.
    _deselected_interop.extend(sorted(interop - {item.nodeid for item in items}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _notes:
        terminalreporter.write_line(line)
    if _deselected_interop:
        files: dict[str, int] = {}
        for nodeid in _deselected_interop:
            file = nodeid.partition("::")[0]
            files[file] = files.get(file, 0) + 1
        terminalreporter.section(
            "not run here: they need other programs; `bash .ci/run` installs those and runs them", sep="-"
        )
        for file, count in files.items():
            terminalreporter.write_line(f"{count:5}  {file}")
    if _missing:
        terminalreporter.section("missing counterparts", sep="-")
        for what, count in _missing.items():
            terminalreporter.write_line(f"{count:5}  {what}")
