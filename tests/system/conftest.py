"""What tests of the command line share: the real `shoal`, in a process with a home and a store of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

# `sharing`, which several suites here use.
sys.path.insert(0, str(Path(__file__).parent))

# Long enough for a busy machine; nothing here takes a tenth of it.
SECONDS_MAX = 120


def command_line() -> list[str]:
    """The installed `shoal` of the Python that runs the tests."""
    program = Path(sys.executable).parent / "shoal"
    return [str(program)] if program.exists() else [sys.executable, "-m", "shoal"]


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit code, and what it wrote."""

    code: int
    raw: bytes
    errors: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def word(self) -> str:
        """The only line."""
        (line,) = self.lines
        return line

    @property
    def json(self) -> Any:
        """The only line, as JSON."""
        return json.loads(self.word)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


@dataclass
class Shoal:
    """Runs `shoal` in `folder`; the run must end with `code`, and never with a traceback."""

    folder: Path
    environment: dict[str, str]

    def __call__(
        self, *words: str | Path, code: int = 0, stdin: bytes | None = None, cwd: Path | None = None, **environment: str
    ) -> Run:
        done = subprocess.run(
            [*command_line(), *map(str, words)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=cwd or self.folder,
            env=self.environment | environment,
            timeout=SECONDS_MAX,
        )
        run = Run(done.returncode, done.stdout, done.stderr.decode())
        assert run.code == code, f"ended with {run.code}, not {code}: {run.errors or run.out}"
        assert "Traceback" not in run.errors
        return run

    def start(self, *words: str | Path, **keywords: Any) -> subprocess.Popen[bytes]:
        """A run that is not waited for."""
        return subprocess.Popen(
            [*command_line(), *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            **({"stdin": subprocess.DEVNULL} | keywords),
        )

    def script(self, text: str, *, shell: str = "bash") -> Run:
        """Runs a shell script in which `shoal` is the command under test."""
        done = subprocess.run(
            [shell, "-c", text],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            env=self.environment,
            timeout=SECONDS_MAX,
        )
        return Run(done.returncode, done.stdout, done.stderr.decode())

    @property
    def store(self) -> Path:
        return Path(self.environment["SHOAL_PATH"])


@pytest.fixture
def shoal(tmp_path: Path) -> Shoal:
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SHOAL_") and name != "NO_COLOR"
    }
    environment |= {
        # Nodes of other tests are not to be found.
        "SHOAL_NODE_MDNS": "0",
        "SHOAL_PATH": str(tmp_path / "store"),
        "HOME": str(tmp_path / "home"),
        "PATH": f"{_programs(tmp_path)}{os.pathsep}{environment['PATH']}",
        "COLUMNS": "80",
    }
    return Shoal(folder, environment)


def _programs(tmp_path: Path) -> Path:
    """A folder with nothing but `shoal`, for scripts."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "shoal"
    words = " ".join(f"'{word}'" for word in command_line())
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    program.chmod(0o755)
    return programs


@pytest.fixture
def photos(shoal: Shoal) -> Path:
    """A small directory with a directory in it, and a file beside it."""
    folder = shoal.folder / "photos"
    (folder / "2024").mkdir(parents=True)
    (folder / "sea.txt").write_text("the sea\n")
    (folder / "hill.txt").write_text("a hill\n")
    (folder / "2024" / "moon.txt").write_text("the moon\n")
    (shoal.folder / "notes.txt").write_text("hello world\n")
    (shoal.folder / "record.json").write_text('{"title":"sea","year":2024}')
    return folder


@pytest.fixture
def kubo(tmp_path: Path) -> Callable[..., Run]:
    """Runs the `ipfs` that SHOAL_KUBO names, in a repository of its own."""
    program = os.environ.get("SHOAL_KUBO") or shutil.which("ipfs")
    if program is None:
        pytest.skip("no Kubo here: set SHOAL_KUBO to an ipfs program to compare with it")
    environment = os.environ | {"IPFS_PATH": str(tmp_path / "kubo")}

    def run(*words: str | Path, cwd: Path, stdin: bytes | None = None) -> Run:
        done = subprocess.run(
            [program, *map(str, words)], cwd=cwd, env=environment, input=stdin, capture_output=True, timeout=SECONDS_MAX
        )
        return Run(done.returncode, done.stdout, done.stderr.decode())

    assert run("init", "--profile=unixfs-v1-2025,test", cwd=tmp_path).code == 0
    return run
