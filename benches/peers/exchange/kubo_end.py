"""A Kubo daemon as one end, told what to do over its RPC, so that no start of a process is in any time."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

ANSWER_SECONDS = 600.0
START_SECONDS = 60.0
SETTINGS: dict[str, object] = {
    "Bootstrap": [],
    "Routing.Type": "none",
    "Discovery.MDNS.Enabled": False,
    "AutoConf.Enabled": False,
    "Addresses.Swarm": ["/ip4/127.0.0.1/tcp/0"],
}


class KuboEnd:
    """A daemon with a new repository; gone, with all it stored, at the end of its `with`."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._environment = {**os.environ, "IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off", "HOME": str(folder)}
        self._prepare()
        self._log = folder / "daemon.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "daemon"], env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._await_start()
        except BaseException:
            self._process.kill()
            raise

    def _prepare(self) -> None:
        """A repository with an identity of its own, which knows nobody."""
        init = [self._binary, "init", "--profile=unixfs-v1-2025,test"]
        subprocess.run(init, env=self._environment, check=True, capture_output=True)
        path = self._folder / "config"
        config = json.loads(path.read_text(encoding="utf-8"))
        for name, value in SETTINGS.items():
            at = config
            *parents, last = name.split(".")
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = value
        path.write_text(json.dumps(config), encoding="utf-8")

    def _await_start(self) -> None:
        ends_at = time.monotonic() + START_SECONDS
        while b"Daemon is ready" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise TimeoutError(f"Kubo did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        _, _, host, _, port = (self._folder / "api").read_text(encoding="ascii").strip().split("/")
        self._api = host, int(port)
        self.address: str = json.loads(self._ask("id"))["Addresses"][0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, verb: str, **arguments: str) -> bytes:
        connection = http.client.HTTPConnection(*self._api, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", f"/api/v0/{verb}?{urllib.parse.urlencode(arguments)}")
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"Kubo's {verb}: {body[:500].decode(errors='replace')}")
        return body

    def add(self, source: Path, profile: str) -> str:
        flags = ["--hash=blake3"] if profile == "blake3" else []
        command = [self._binary, "add", "-Q", "-r", "--hidden", "--progress=false", *flags, source]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def connect(self, address: str) -> None:
        self._ask("swarm/connect", arg=address)

    def fetch(self, cid: str) -> float:
        """Seconds until all of it is here and pinned: the command that fetches a whole DAG at the most speed."""
        started = time.perf_counter()
        self._ask("pin/add", arg=cid, progress="false")
        return time.perf_counter() - started
