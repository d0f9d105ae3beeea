"""Real clients of Kubo's RPC, driven against Kubo and against us: kubo-rpc-client (JavaScript), aioipfs (Python), and `ipfs` itself.

Each does the same to both, and what it got must be equal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.interop

PAINTED = bytes(at * at % 251 for at in range(700_000))
ABSENT = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"


@dataclasses.dataclass
class Daemon:
    """Something that answers the RPC."""

    name: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def kubo_daemon(binary: Path, environment: dict[str, str]) -> Iterator[Daemon]:
    port = free_port()
    for name, address in (("API", f"/ip4/127.0.0.1/tcp/{port}"), ("Gateway", "/ip4/127.0.0.1/tcp/0")):
        subprocess.run([binary, "config", f"Addresses.{name}", address], env=environment, check=True)
    process = subprocess.Popen([binary, "daemon", "--offline"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert any("Daemon is ready" in line for line in process.stdout)
        yield Daemon("Kubo", port, None)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextlib.contextmanager
def shoal_daemon(store: Path) -> Iterator[Daemon]:
    words = ["serve", "--listen", "127.0.0.1:0", "--rpc", "--rpc-listen", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", *words], env={**os.environ, "SHOAL_PATH": str(store)}, stdout=subprocess.PIPE
    )
    try:
        ready = json.loads(process.stdout.readline())["rpc"]
        token = Path(ready["token_file"]).read_text().strip()
        yield Daemon("Shoal", int(ready["url"].rpartition(":")[2]), token)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.fixture
def daemons(kubo_binary, kubo_environment, tmp_path) -> Iterator[tuple[Daemon, Daemon]]:
    with kubo_daemon(kubo_binary, kubo_environment) as kubo, shoal_daemon(tmp_path / "store") as shoal:
        yield kubo, shoal


@pytest.fixture
def javascript(missing_counterpart, ci_cache: Path) -> Path:
    """The folder that `.ci/rpc-clients` fills."""
    folder = Path(os.environ.get("SHOAL_RPC_CLIENTS") or ci_cache / "rpc-clients")
    if not (folder / "node").exists():
        missing_counterpart("kubo-rpc-client", "run .ci/rpc-clients, or set SHOAL_RPC_CLIENTS to its folder")
    return folder


def assert_same(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert theirs.keys() == ours.keys()
    wrong = [f"{name}: Kubo {theirs[name]!r}, Shoal {ours[name]!r}" for name in theirs if theirs[name] != ours[name]]
    assert not wrong, "\n".join(wrong)


def test_kubo_rpc_client_gets_the_same_from_both(daemons, javascript) -> None:
    script = Path(__file__).with_name("kubo_rpc_client.mjs")
    found = []
    for daemon in daemons:
        words = [javascript / "node", script, javascript, daemon.url, *([daemon.token] if daemon.token else [])]
        run = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, (daemon.name, run.stderr)
        found.append(json.loads(run.stdout))
    assert found[0]["cat"] is True
    assert_same(*found)


def test_aioipfs_gets_the_same_from_both(daemons, missing_counterpart, tmp_path) -> None:
    if importlib.util.find_spec("aioipfs") is None:
        missing_counterpart("aioipfs", "pip install -r .ci/tools.txt")
    tree = tmp_path / "files" / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a b+c.txt").write_text("hello\n")
    (tree / "sub" / "ź.txt").write_text("sub\n")
    (tree / "big").write_bytes(PAINTED)
    (tree.parent / "block").write_bytes(b"some block")
    (tree.parent / "object.json").write_text('{"list": [1, "two"]}')
    script = Path(__file__).with_name("aioipfs_client.py")
    found = []
    for daemon in daemons:
        words = [sys.executable, script, tree.parent, str(daemon.port), *([daemon.token] if daemon.token else [])]
        run = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, (daemon.name, run.stderr)
        found.append(json.loads(run.stdout))
    assert found[0]["cat"] is True
    assert_same(*found)


def test_the_ipfs_command_works_through_our_rpc(daemons, kubo_binary, kubo_environment, tmp_path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "a.txt").write_text("hello\n")
    (tree / "big").write_bytes(PAINTED)
    os.symlink("a.txt", tree / "link")
    # A directory large enough to be sharded.
    (tree / "many").mkdir()
    for at in range(1500):
        (tree / "many" / f"{at:0200}").write_bytes(b"%d" % at)
    found = []
    for daemon in daemons:
        flags = ["--api", f"/ip4/127.0.0.1/tcp/{daemon.port}"]
        flags += ["--api-auth", f"bearer:{daemon.token}"] if daemon.token else []

        def run(*words: str, flags=flags, name=daemon.name) -> bytes:
            done = subprocess.run(
                [kubo_binary, *flags, *words], env=kubo_environment, capture_output=True, timeout=300, check=False
            )
            assert done.returncode == 0, (name, words, done.stderr)
            return done.stdout

        root = run("add", "-r", "-Q", str(tree)).decode().strip()
        told: dict[str, Any] = {"root": root}
        for more in (
            "--cid-version=1",
            "--raw-leaves",
            "--trickle",
            "--chunker=rabin-16384-65536-131072",
            "--inline",
            "--hash=blake3",
            "-w",
            "--max-file-links=3 --chunker=size-1000",
            "--max-hamt-fanout=64",
        ):
            told[more] = run("add", "-r", "-Q", "--only-hash", *more.split(), str(tree)).strip()
        told["cat"] = run("cat", f"/ipfs/{root}/big") == PAINTED
        told["ls"] = run("ls", root)
        told["refs"] = sorted(run("refs", "-r", "-u", root).split())
        told["pins"] = run("pin", "ls", "--type=recursive")
        told["stat"] = json.loads(run("dag", "stat", "--progress=false", "--enc=json", root, f"{root}/many"))
        told["car"] = len(run("dag", "export", "--progress=false", root))
        told["dag"] = run("dag", "get", f"{root}/sub")
        told["resolve"] = run("resolve", f"/ipfs/{root}/a.txt")
        run("get", root, "-o", str(tmp_path / daemon.name))
        told["got"] = sorted((path.name, path.is_symlink()) for path in (tmp_path / daemon.name).rglob("*"))
        told["gc"] = bool(run("repo", "gc", "-q")) and False
        told["kept"] = run("cat", f"{root}/a.txt")
        found.append(told)
    # Which pins a fresh repository of Kubo's has is its own business.
    found[0]["pins"] = b"".join(
        line for line in found[0]["pins"].splitlines(keepends=True) if found[0]["root"].encode() in line
    )
    assert_same(*found)


# Calls that say the same in every key but those named.
CALLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ls": ("ls?arg={root}", ()),
    "ls in a stream": ("ls?arg=/ipfs/{root}&stream=true&size=false", ()),
    "ls without types": ("ls?arg={root}&resolve-type=false&size=false", ()),
    "refs with names": ("refs?arg={root}&recursive=true&format=<src>:<dst>:<linkname>", ()),
    "refs to a depth": ("refs?arg={root}&recursive=true&max-depth=1&unique=true", ()),
    "refs of what is not here": (f"refs?arg={ABSENT}", ()),
    "cat of a directory": ("cat?arg={root}", ()),
    "cat of what is not here": (f"cat?arg={ABSENT}", ()),
    "cat before the beginning": ("cat?arg={root}/a.txt&offset=-1", ()),
    "cat behind the end": ("cat?arg={root}/a.txt&offset=100", ()),
    "cat of two": ("cat?arg={root}/a.txt&arg={root}/big&offset=3&length=300000", ()),
    "no argument": ("cat", ()),
    "a number that is none": ("cat?arg={root}&offset=x", ()),
    "a flag that is none": ("ls?arg={root}&stream=perhaps", ()),
    "no such verb": ("nope", ()),
    "block stat": ("block/stat?arg={root}", ()),
    "block get": ("block/get?arg={root}/a.txt", ()),
    "block rm of what is pinned": ("block/rm?arg={root}", ()),
    "block rm of what is not here": (f"block/rm?arg={ABSENT}", ()),
    "dag get": ("dag/get?arg={root}", ()),
    "dag get as cbor": ("dag/get?arg={root}&output-codec=dag-cbor", ()),
    "dag resolve": ("dag/resolve?arg={root}/a.txt", ()),
    "dag stat": ("dag/stat?arg={root}&arg={root}/sub&progress=false", ()),
    "dag export": ("dag/export?arg={root}", ()),
    "pin ls of one": ("pin/ls?arg={root}", ()),
    "pin ls of a wrong type": ("pin/ls?type=foo", ()),
    "pin ls of what is not pinned": (f"pin/ls?arg={ABSENT}", ()),
    "pin add": ("pin/add?arg={root}&name=xy", ()),
    "pin add directly": ("pin/add?arg={root}&recursive=false", ()),
    "pin rm of what is not pinned": (f"pin/rm?arg={ABSENT}", ()),
    "pin verify": ("pin/verify", ()),
    "resolve": ("resolve?arg={root}/a.txt", ()),
    "repo stat": ("repo/stat?size-only=true", ("RepoSize", "StorageMax")),
    "repo version": ("repo/version", ("Version",)),
    "version": ("version", ("Repo", "Golang")),
    "id": ("id", ("ID", "PublicKey", "AgentVersion")),
}
HEADERS = ("content-type", "x-chunked-output", "x-stream-output", "x-content-length", "allow")


def test_each_call_is_answered_alike(daemons) -> None:
    kind = "application/octet-stream"
    files = [("file", ("d", b"", "application/x-directory"))]
    files += [
        ("file", (name, data, kind))
        for name, data in (("d%2Fa.txt", b"hello\n"), ("d%2Fsub%2Fb.txt", b"sub\n"), ("d%2Fbig", PAINTED))
    ]
    answers: list[dict[str, Any]] = []
    for daemon in daemons:
        with httpx.Client(base_url=f"{daemon.url}/api/v0/", headers=daemon.headers, timeout=60) as client:
            root = json.loads(client.post("add", files=files).text.splitlines()[-1])["Hash"]
            told: dict[str, Any] = {"root": root}
            for name, (path, free) in CALLS.items():
                answer = client.post(path.format(root=root))
                body: Any = answer.content
                if free:
                    body = {key: value for key, value in answer.json().items() if key not in free}
                told[name] = answer.status_code, body, {header: answer.headers.get(header) for header in HEADERS}
            told["GET"] = client.get("version").status_code, client.get("version").text
            answers.append(told)
    assert_same(*answers)
