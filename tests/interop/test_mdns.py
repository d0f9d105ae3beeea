"""Peers that find each other on a network: two of ours, and Kubo, each in a network namespace of its own, with a cable between.

Needs root and iproute2, for the namespaces; nothing leaves them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import pytest

pytestmark = [pytest.mark.interop]

OURS = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
SECONDS = 30

# Announces itself, prints each peer that it finds, and who dials it.
PROGRAM = """
import json, sys, anyio
from shoal.discovery.base import Announcement
from shoal.discovery.mdns import Mdns
from shoal.transport.tcp import TcpTransport

peer, wildcards, backend = sys.argv[1], sys.argv[2].split(","), sys.argv[3]

async def main():
    listeners = [await TcpTransport().listen(wildcard) for wildcard in wildcards]

    def say(**what):
        print(json.dumps(what), flush=True)

    async def accept(listener):
        while True:
            stream = await listener.accept()
            say(accepted=stream.remote)
            await stream.aclose()

    mdns = Mdns(on_warning=lambda sentence: say(warning=sentence))
    async with anyio.create_task_group() as tasks:
        for listener in listeners:
            tasks.start_soon(accept, listener)
        # Wildcards as such: a link may come up later than this program.
        bound = []
        for wildcard, listener in zip(wildcards, listeners):
            bound.append(wildcard.rpartition("/")[0] + "/" + listener.addresses[-1].rpartition("/")[2])
        await mdns.run(Announcement(peer, tuple(bound)), lambda found: say(peer=found.peer, addresses=found.addresses))

anyio.run(main, backend=backend)
"""


class Namespaces:
    """Two machines, as far as the network goes, at 10.77.0.1 and 10.77.0.2."""

    def __init__(self) -> None:
        self.names = [f"shoal-{os.getpid()}-{end}" for end in "ab"]
        self.running: list[subprocess.Popen[str]] = []
        first, second = self.names
        links = [f"sh{os.getpid() % 100000}{end}" for end in "ab"]
        for name in self.names:
            self._ip("netns", "add", name)
        self._ip("link", "add", links[0], "netns", first, "type", "veth", "peer", "name", links[1], "netns", second)
        for number, (name, link) in enumerate(zip(self.names, links, strict=True), 1):
            self._ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", link)
            for device in ("lo", link):
                self._ip("-n", name, "link", "set", device, "up")

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)

    def start(
        self, number: int, command: list[str], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            ["ip", "netns", "exec", self.names[number], *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.running.append(child)
        return child

    def ours(
        self, number: int, peer: str, backend: str = "asyncio", listen: str = "/ip4/0.0.0.0/tcp/0,/ip6/::/tcp/0"
    ) -> Queue[dict]:
        """One of ours there; what it says."""
        said: Queue[dict] = Queue()
        child = self.start(number, [sys.executable, "-c", PROGRAM, peer, listen, backend])

        def read() -> None:
            for line in child.stdout:
                said.put(json.loads(line))

        threading.Thread(target=read, daemon=True).start()
        return said

    def close(self) -> None:
        for child in self.running:
            child.kill()
            child.wait()
            child.stdout.close()
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=30)


@pytest.fixture
def namespaces(missing_counterpart):
    if shutil.which("ip") is None or os.geteuid() != 0:
        missing_counterpart("network namespaces", "run as root, with iproute2 installed")
    made = Namespaces()
    yield made
    made.close()


def wait_for(said: Queue[dict], holds) -> dict:
    """The first thing said of which `holds` is true; all others are told when it does not come."""
    heard = []
    until = time.monotonic() + SECONDS
    while True:
        try:
            heard.append(said.get(timeout=max(0.01, until - time.monotonic())))
        except Empty:
            raise AssertionError(f"not in {SECONDS} s; heard: {heard}") from None
        if holds(heard[-1]):
            return heard[-1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_of_ours_find_each_other(namespaces, backend):
    first = namespaces.ours(0, OURS, backend)
    second = namespaces.ours(1, OTHER, backend)
    for said, peer, ip in ((first, OTHER, "10.77.0.2"), (second, OURS, "10.77.0.1")):
        found = wait_for(said, lambda what, ip=ip: any(ip in address for address in what.get("addresses", ())))
        assert found["peer"] == peer
        assert not any("/127." in address or "/ip6/::1/" in address for address in found["addresses"])
        # A link-local address can only be dialled with the name of the link on this side.
        link_local = [address for address in found["addresses"] if "fe80" in address]
        assert all(address.startswith("/ip6zone/sh") for address in link_local), found


def test_who_listens_on_the_loopback_alone_is_not_announced_beyond(namespaces):
    first = namespaces.ours(0, OURS, listen="/ip4/127.0.0.1/tcp/0")
    second = namespaces.ours(1, OTHER)
    found = wait_for(first, lambda what: what.get("peer") == OTHER)
    assert found["addresses"]
    with pytest.raises(Empty):
        second.get(timeout=3)


def test_kubo_and_we_find_each_other(namespaces, kubo_binary, tmp_path):
    repository = tmp_path / "kubo"
    environment = {**os.environ, "IPFS_PATH": str(repository), "IPFS_TELEMETRY": "off"}

    def ipfs(*arguments: str) -> str:
        done = subprocess.run(
            [kubo_binary, *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    ipfs("init", "--profile=unixfs-v1-2025,test")
    for name, value in {
        "Discovery.MDNS.Enabled": True,
        "Bootstrap": [],
        "Routing.Type": "none",
        "Addresses.Swarm": ["/ip4/0.0.0.0/tcp/4001"],
    }.items():
        ipfs("config", "--json", name, json.dumps(value))
    kubo = json.loads((repository / "config").read_text())["Identity"]["PeerID"]
    namespaces.start(0, [str(Path(kubo_binary)), "daemon"], environment)
    said = namespaces.ours(1, OURS)
    heard: dict[str, dict] = {}

    def both(what: dict) -> bool:
        if what.get("peer") == kubo:
            heard["we found Kubo"] = what
        if "accepted" in what:
            heard["Kubo dialled us"] = what
        return len(heard) == 2

    wait_for(said, both)
    assert heard["we found Kubo"]["addresses"] == ["/ip4/10.77.0.1/tcp/4001"]
    assert "/10.77.0.1/" in heard["Kubo dialled us"]["accepted"] or "fe80" in heard["Kubo dialled us"]["accepted"]


def test_a_folder_is_fetched_by_its_cid_from_whoever_has_it(namespaces, tmp_path):
    (tmp_path / "folder").mkdir()
    for number in range(16):
        (tmp_path / "folder" / str(number)).write_bytes(bytes([number]) * 65536)
    shoal = [sys.executable, "-m", "shoal"]
    environment = {**os.environ, "SHOAL_NODE_MDNS": "1"}
    sharing = namespaces.start(
        0, [*shoal, "--store", str(tmp_path / "a"), "--json", "share", str(tmp_path / "folder")], environment
    )
    cid = json.loads(sharing.stdout.readline())["cid"]
    target = tmp_path / "out"
    getting = namespaces.start(
        1, [*shoal, "--store", str(tmp_path / "b"), "get", "--mdns", "-o", str(target), cid], environment
    )
    assert getting.wait(timeout=SECONDS) == 0
    assert {path.name for path in target.iterdir()} == {str(number) for number in range(16)}
    assert (target / "7").read_bytes() == bytes([7]) * 65536
