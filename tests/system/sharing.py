"""Real processes that share: started, waited for until they are ready, and ended as a person ends them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Shoal

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def painted(size: int, mark: int = 0) -> bytes:
    """Bytes in which no two pieces of 64 KiB are alike."""
    piece = bytes((at * at + mark) % 251 for at in range(65528))
    count = -(-size // 65536)
    return b"".join(number.to_bytes(8, "little") + piece for number in range(count))[:size]


def another(shoal: Shoal, name: str) -> Shoal:
    """A second person on the same machine: a folder and a store of their own."""
    folder = shoal.folder.parent / name
    folder.mkdir()
    return replace(
        shoal, folder=folder, environment=shoal.environment | {"SHOAL_PATH": str(folder.parent / f"{name}-store")}
    )


@dataclass
class Running:
    """A process that said that it is ready."""

    ready: dict[str, Any]
    process: subprocess.Popen[bytes]
    errors: str = ""

    def event(self) -> dict[str, Any]:
        """The next thing that it says."""
        line = self.process.stdout.readline()
        assert line, "it ended"
        return json.loads(line)

    def event_of(self, kind: str) -> dict[str, Any]:
        while (event := self.event())["event"] != kind:
            pass
        return event


@contextlib.contextmanager
def running(shoal: Shoal, *words: str | Path, end: signal.Signals = signal.SIGINT, code: int = 0) -> Iterator[Running]:
    """`shoal WORDS --json`, ready, until the block ends."""
    process = shoal.start(*words, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stdout.readline()
    assert line, process.stderr.read().decode()
    found = Running(json.loads(line), process)
    try:
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(end)
        _, errors = process.communicate(timeout=60)
        found.errors = errors.decode()
        assert "Traceback" not in found.errors, found.errors
        assert process.returncode in (code, -signal.SIGKILL), found.errors


def sharing(shoal: Shoal, *words: str | Path, **keywords: Any) -> contextlib.AbstractContextManager[Running]:
    """`shoal share` on this machine alone."""
    return running(shoal, "share", "--listen", LOOPBACK, *words, **keywords)
