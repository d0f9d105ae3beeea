"""The counterpart, Kubo: its command line beside ours, and its daemon, with which our nodes exchange.

Not here: what is compared. A test in this folder gives both programs the same input and the same flags, and the
answers must be equal. Kubo is named by SHOAL_KUBO, or lies in the cache of `.ci/run`; it never touches the network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Lets these tests import their parts as `interop.…`.
sys.path.insert(0, str(Path(__file__).parents[1]))

MEMORY = Path("/dev/shm")
# What a repository of Kubo's is made with to do by default what a profile says. The oldest profile is what Kubo does
# unless told otherwise; naming it there would also fix what flags such as `--cid-version` imply.
HOMES = {"unixfs-v1-2025": "unixfs-v1-2025,test", "unixfs-v0-2015": "test"}
# What keeps a daemon to itself: it asks nobody, is told of nobody, and listens on this machine alone.
ALONE: dict[str, object] = {
    "Bootstrap": [],
    "Routing.Type": "none",
    "Discovery.MDNS.Enabled": False,
    "AutoConf.Enabled": False,
    "Addresses.Swarm": ["/ip4/127.0.0.1/tcp/0"],
}
READY = b"Daemon is ready"
START_SECONDS = 60
STOP_SECONDS = 20


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: needs Kubo (`.ci/run kubo` builds it)")


@dataclasses.dataclass(frozen=True)
class Line:
    """One line that `add` prints."""

    cid: str
    name: str


def _lines(output: bytes) -> list[Line]:
    found = []
    for line in output.decode(errors="surrogateescape").split("\n"):
        if line:
            word, cid, name = line.split(" ", 2)
            assert word == "added", line
            found.append(Line(cid, name))
    return found


class Program:
    """A command line with its own storage and nothing else of this machine's settings."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.command = list(command)
        self.environment = os.environ | {"HOME": "/nonexistent", "NO_COLOR": "1"} | environment

    def run(self, *arguments: str | os.PathLike[str], stdin: bytes = b"", cwd: Path | None = None) -> bytes:
        """What it printed; any other exit code than 0 is the test's failure, with the words of the program."""
        done = subprocess.run(
            [*self.command, *map(os.fspath, arguments)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env=self.environment,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, (self.command, arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def word(self, *arguments: str | os.PathLike[str], stdin: bytes = b"", cwd: Path | None = None) -> str:
        """The same, as text without the last newline."""
        return self.run(*arguments, stdin=stdin, cwd=cwd).decode(errors="surrogateescape").strip()

    def add(
        self, *arguments: str | os.PathLike[str], profile: str, stdin: bytes = b"", cwd: Path | None = None
    ) -> list[Line]:
        raise NotImplementedError


class Kubo(Program):
    """Kubo without a daemon; one repository for each profile, since Kubo keeps the profile in its configuration."""

    def __init__(self, binary: Path, folder: Path) -> None:
        super().__init__([str(binary)], {"IPFS_TELEMETRY": "off"})
        self.homes = {profile: self.fresh(folder / profile, made) for profile, made in HOMES.items()}

    def at(self, profile: str) -> Program:
        """Kubo with that profile's repository."""
        return self.homes[profile]

    def fresh(self, folder: Path, profiles: str = HOMES["unixfs-v1-2025"]) -> Program:
        """Kubo with a new repository in that folder: what it has it got from the test."""
        program = Program(self.command, self.environment | {"IPFS_PATH": str(folder)})
        program.run("init", f"--profile={profiles}")
        return program

    def add(
        self, *arguments: str | os.PathLike[str], profile: str, stdin: bytes = b"", cwd: Path | None = None
    ) -> list[Line]:
        if profile == "blake3":
            profile, arguments = "unixfs-v1-2025", ("--hash=blake3", *arguments)
        return _lines(self.at(profile).run("add", "--progress=false", *arguments, stdin=stdin, cwd=cwd))


class KuboDaemon(Program):
    """A repository and, between `start` and `stop`, the daemon that serves it. It can be killed and started again."""

    def __init__(self, command: Sequence[str], folder: Path, settings: dict[str, object]) -> None:
        super().__init__(command, {"IPFS_PATH": str(folder / "repository"), "IPFS_TELEMETRY": "off"})
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.id = ""
        self.agent = ""
        self.address = ""
        """Where it listens; another place after each start."""
        folder.mkdir()
        self.run("init", "--profile=unixfs-v1-2025,test")
        for name, value in (ALONE | settings).items():
            self.run("config", "--json", name, json.dumps(value))

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self.command, "daemon"], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        ends_at = time.monotonic() + START_SECONDS
        while READY not in self._log.read_bytes():
            is_waited_for = self._process.poll() is None and time.monotonic() < ends_at
            assert is_waited_for, self._log.read_text(errors="replace")
            time.sleep(0.05)
        about = json.loads(self.run("id"))
        self.id, self.agent, (self.address,) = about["ID"], about["AgentVersion"], about["Addresses"]

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """At once, as the system does when memory is short."""
        self.signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(STOP_SECONDS)
        self._process = None


class Shoal(Program):
    """The `shoal` command of the Python that runs the tests."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            [sys.executable, "-m", "shoal"], {"SHOAL_PATH": str(folder), "XDG_CONFIG_HOME": f"{folder}-config"}
        )
        self.folder = folder

    def beside(self, folder: Path) -> Shoal:
        """The same command on another store."""
        return Shoal(folder)

    def add(
        self, *arguments: str | os.PathLike[str], profile: str, stdin: bytes = b"", cwd: Path | None = None
    ) -> list[Line]:
        return _lines(self.run("add", f"--profile={profile}", *arguments, stdin=stdin, cwd=cwd))


class Pair:
    """Both programs, asked the same."""

    def __init__(self, kubo: Kubo, shoal: Shoal) -> None:
        self.kubo = kubo
        self.shoal = shoal

    def assert_same_add(
        self,
        *arguments: str | os.PathLike[str],
        profile: str = "unixfs-v1-2025",
        stdin: bytes = b"",
        cwd: Path | None = None,
        names: bool = True,
        only_hash: bool = True,
    ) -> list[Line]:
        """Both print the same lines; with `names=False` only the CIDs count. Returns Shoal's, the root last."""
        theirs, ours = self.both_add(*arguments, profile=profile, stdin=stdin, cwd=cwd, only_hash=only_hash)
        assert theirs, "Kubo printed nothing: the test compares nothing"
        if not names:
            theirs, ours = ([Line(line.cid, "") for line in lines] for lines in (theirs, ours))
        # Only the first few: a tree has thousands, and pytest's own diff of two long lists takes minutes.
        missing = list((Counter(theirs) - Counter(ours)).elements())
        extra = list((Counter(ours) - Counter(theirs)).elements())
        assert not missing, (len(missing), "of", len(theirs), missing[:3], "but Shoal has", extra[:3])
        assert not extra, extra[:5]
        # Roots are printed after what they hold, in the order of the arguments.
        assert ours[-1] == theirs[-1]
        return ours

    def both_add(
        self,
        *arguments: str | os.PathLike[str],
        profile: str = "unixfs-v1-2025",
        stdin: bytes = b"",
        cwd: Path | None = None,
        only_hash: bool = True,
    ) -> tuple[list[Line], list[Line]]:
        """What Kubo prints, and what Shoal prints."""
        if only_hash:
            arguments = ("--only-hash", *arguments)
        theirs = self.kubo.add(*arguments, profile=profile, stdin=stdin, cwd=cwd)
        return theirs, self.shoal.add(*arguments, profile=profile, stdin=stdin, cwd=cwd)


def painted(length: int, seed: str = "shoal") -> bytes:
    """Bytes that look random and are the same everywhere."""
    return hashlib.shake_128(seed.encode()).digest(length)


@pytest.fixture(scope="session")
def paint():
    return painted


@pytest.fixture(scope="session")
def big() -> bool:
    """Whether inputs above 1 GiB and minutes of work are asked for."""
    return os.environ.get("SHOAL_BIG") == "1"


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A folder for inputs and stores, in memory where there is room for it."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix="shoal-interop-", dir=MEMORY if in_memory else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(workspace: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder in memory for one case, called after it: what is painted with its name is in no other case."""
    path = workspace / request.node.name.replace("/", "-")
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop of our node, in tests that have one."""
    return request.param


@pytest.fixture(scope="session")
def kubo(workspace: Path) -> Kubo:
    cache = Path(
        os.environ.get("SHOAL_CI_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoal-ci"
    )
    named = os.environ.get("SHOAL_KUBO")
    candidates = [Path(named)] if named else sorted(cache.glob("kubo*/ipfs"))
    for binary in candidates:
        if os.access(binary, os.X_OK):
            folder = workspace / "kubo"
            folder.mkdir()
            return Kubo(binary, folder)
    looked = named or f"{cache}/kubo*/ipfs"
    raise FileNotFoundError(f"no Kubo at {looked}; build it with `.ci/run kubo` or name it in SHOAL_KUBO")


@pytest.fixture(scope="session")
def start_daemon(kubo: Kubo, workspace: Path) -> Iterator[Callable[..., KuboDaemon]]:
    """Call it with a name and settings of Kubo's: a daemon of that name that runs until the end of the session."""
    made: dict[str, KuboDaemon] = {}

    def start(name: str, **settings: object) -> KuboDaemon:
        if name not in made:
            dotted = {key.replace("__", "."): value for key, value in settings.items()}
            made[name] = KuboDaemon(kubo.command, workspace / name, dotted)
            made[name].start()
        return made[name]

    yield start
    for daemon in made.values():
        daemon.stop()


@pytest.fixture(scope="session")
def pair(kubo: Kubo, workspace: Path) -> Pair:
    return Pair(kubo, Shoal(workspace / "store"))


@pytest.fixture
def shoal_command(tmp_path: Path) -> Shoal:
    """`shoal` on an empty store of its own."""
    return Shoal(tmp_path / "store")
