"""`shoal serve --rpc` as programs use it: real processes, real sockets, strangers on the other end, and clients that never read.

The hostile requests are a table. Whatever is sent, the server answers or closes, changes nothing that it should not, keeps serving
others, and its memory stays bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from raw_socket import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

PAINTED = b"".join(bytes((at * at + mark) % 251 for at in range(65536)) for mark in range(64))
SLEEPERS = 1000


class Served:
    """A server that is ready: what it said, and the way in."""

    def __init__(self, ready: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
        self.ready, self.process = ready, process
        self.url = ready["rpc"]["url"]
        self.port = int(self.url.rpartition(":")[2])
        with open(ready["rpc"]["token_file"], encoding="ascii") as file:
            self.token = file.read().strip()
        self.client = httpx.Client(
            base_url=f"{self.url}/api/v0/", headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        )

    def __call__(self, verb: str, files: Any = None, **options: str) -> httpx.Response:
        return self.client.post(
            verb, params={name.replace("_", "-"): value for name, value in options.items()}, files=files
        )

    def add(self, data: bytes) -> str:
        return self("add", {"file": ("f", data)}).json()["Hash"]

    @property
    def rss(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


@contextlib.contextmanager
def serving(shoal, *words: str) -> Iterator[Served]:
    process = shoal.start(
        "serve", "--listen", "127.0.0.1:0", "--rpc", "--rpc-listen", "127.0.0.1:0", "--json", *words,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read().decode()
        served = Served(json.loads(line), process)
        with served.client:
            yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
        assert process.returncode == 0, errors.decode()


def test_programs_find_the_rpc_and_its_token_and_can_end_it(shoal) -> None:
    with serving(shoal) as served:
        assert stat.S_IMODE((shoal.store / "rpc-token").stat().st_mode) == 0o600
        assert (shoal.store / "api").read_text() == f"/ip4/127.0.0.1/tcp/{served.port}" == served.ready["rpc"]["api"]
        cid = served.add(b"hello\n")
        assert cid == "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN"
        # What came in by one door goes out by the other, and is seen by the command line.
        assert httpx.get(f"{served.ready['url']}/ipfs/{cid}").content == b"hello\n"
        assert shoal("cat", cid).out == "hello\n"
        assert served("shutdown").status_code == 200
        assert served.process.wait(60) == 0
    assert not (shoal.store / "api").exists()
    assert (shoal.store / "rpc-token").exists()


def test_health_is_told_to_all_and_figures_to_those_with_the_token(shoal) -> None:
    with serving(shoal) as served:
        served.add(b"x")
        for url in (served.url, served.ready["url"]):
            assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{served.url}/metrics").status_code == 403
        assert httpx.get(f"{served.ready['url']}/metrics").status_code == 404
        found = served.client.get(f"{served.url}/metrics")
        assert 'shoal_http_requests_total{room="rpc",route="add",status="200"} 1' in found.text
        assert "shoal_store_pins 1" in found.text
        assert found.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_each_request_is_a_line_of_json_without_its_secrets(shoal) -> None:
    with serving(shoal, "--access-log", "--metrics") as served:
        served("version", arg="a secret argument")
        assert "shoal_store_pins 0" in httpx.get(f"{served.ready['url']}/metrics").text
        line = served.process.stderr.readline()
        record = json.loads(line)
        assert (record["room"], record["method"], record["path"], record["status"]) == (
            "rpc",
            "POST",
            "/api/v0/version",
            200,
        )
        assert b"secret" not in line
        assert served.token.encode() not in line


def test_it_listens_beyond_this_machine_only_when_told_twice(shoal) -> None:
    run = shoal("serve", "--listen", "127.0.0.1:0", "--rpc", "--rpc-listen", "0.0.0.0:0", code=2)
    assert "--rpc-remote" in run.errors
    assert not (shoal.store / "rpc-token").exists()
    with serving(shoal, "--rpc-listen", "0.0.0.0:0", "--rpc-remote") as served:
        assert served("version").status_code == 200
        # From there too, it goes by no name that it was not told.
        served.client.headers["Host"] = socket.gethostname()
        assert served("version").status_code == 403


def test_a_token_that_others_can_read_is_not_used(shoal) -> None:
    shoal("add", "-q", stdin=b"x")
    (shoal.store / "rpc-token").write_text("a" * 43)
    (shoal.store / "rpc-token").chmod(0o644)
    assert (
        "chmod 600" in shoal("serve", "--listen", "127.0.0.1:0", "--rpc", "--rpc-listen", "127.0.0.1:0", code=2).errors
    )


def test_an_answer_that_fails_midway_says_why_behind_its_last_chunk(shoal) -> None:
    with serving(shoal) as served:
        cid = served("add", {"file": ("f", PAINTED)}, pin="false").json()["Hash"]
        whole = spoken(served.port, post(f"/api/v0/cat?arg={cid}", token=served.token))
        assert whole.endswith(b"\r\n0\r\n\r\n")
        assert b"\ntrailer: x-stream-error\r\n" in whole.partition(b"\r\n\r\n")[0].lower()
        leaf = json.loads(served("refs", arg=cid).text.splitlines()[7])["Ref"]
        served("block/rm", arg=leaf)
        cut = spoken(served.port, post(f"/api/v0/cat?arg={cid}", token=served.token))
        assert cut.startswith(b"HTTP/1.1 200")
        assert cut.endswith(b"could not find " + leaf.encode() + b"\r\n\r\n") or b"\nx-stream-error: " in cut[-500:]
        assert len(cut) < len(whole)
        # The connection is good for another call.
        assert served("cat", arg=served.add(b"x")).content == b"x"


def test_under_trio_it_does_the_same(shoal) -> None:
    with serving(shoal, "--trio") as served:
        root = served.add(PAINTED)
        assert served("cat", arg=root).content == PAINTED
        assert served("cat", arg=root, offset="65535", length="3").content == PAINTED[65535:65538]
        assert httpx.get(f"{served.ready['url']}/ipfs/{root}", headers={"Range": "bytes=5-9"}).content == PAINTED[5:10]
        assert served("pin/ls", type="recursive").json()["Keys"].keys() == {root}
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_memory_does_not_follow_what_is_sent(shoal) -> None:
    def pieces(count: int) -> Iterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for at in range(count):
            yield at.to_bytes(8, "big") * 131_072
        yield b"\r\n--B--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    with serving(shoal) as served:
        small = served.client.post("add", params={"only-hash": "true"}, content=pieces(32), headers=kind)
        assert small.status_code == 200
        before = served.rss
        large = served.client.post("add", params={"only-hash": "true"}, content=pieces(256), headers=kind)
        assert int(large.json()["Size"]) > 7 * int(small.json()["Size"])
        assert served.rss - before < 48 << 20


def post(
    path: str,
    *lines: str,
    body: bytes = b"",
    method: str = "POST",
    host: str = "127.0.0.1",
    token: str = "{token}",
    length: int | None = None,
) -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    head += [f"Authorization: Bearer {token}"] if token else []
    head += [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
    return "\r\n".join([*head, *lines, "", ""]).encode("latin-1") + body


FORM = "Content-Type: multipart/form-data; boundary=B"


def form(head: bytes, data: bytes = b"evil", end: bytes = b"\r\n--B--\r\n") -> bytes:
    return b"--B\r\n" + head + b"\r\n\r\n" + data + end


def named(name: bytes, kind: bytes = b"application/octet-stream", data: bytes = b"evil") -> bytes:
    return form(b'Content-Disposition: form-data; name="file"; filename="' + name + b'"\r\nContent-Type: ' + kind, data)


# What is sent, and the statuses it may be answered with; "closed" where nothing need be said. {leaf} is pinned and has to stay.
HOSTILE: dict[str, tuple[bytes, set[str]]] = {
    "no token": (post("/api/v0/id", token=""), {"403"}),
    "no token for what is not there": (post("/api/v0/nope", token=""), {"403"}),
    "a wrong token": (post("/api/v0/id", token="x" * 43), {"403"}),
    "a token a letter short": (post("/api/v0/id", token="{short}"), {"403"}),
    "a token twice": (post("/api/v0/id", "Authorization: Bearer x"), {"403"}),
    "a token of a megabyte": (post("/api/v0/id", token="x" * 60_000), {"403", "431", "400", "closed"}),
    "a token in the query": (post("/api/v0/id?token={token}&Authorization=Bearer%20{token}", token=""), {"403"}),
    "a token in a cookie": (post("/api/v0/id", "Cookie: Authorization=Bearer {token}", token=""), {"403"}),
    "another scheme of authorization": (post("/api/v0/id", "Authorization: Digest {token}", token=""), {"403"}),
    "basic without a password": (post("/api/v0/id", "Authorization: Basic e3Rva2VufQ==", token=""), {"403"}),
    "the web page of a stranger": (post("/api/v0/id", "Origin: http://evil.example"), {"403"}),
    "a page without an origin": (post("/api/v0/id", "Origin: null"), {"403"}),
    "a page of ours by its port alone": (post("/api/v0/id", "Origin: http://127.0.0.1:{port}"), {"403"}),
    "a form of a stranger's page": (post("/api/v0/id", "Referer: http://evil.example/form"), {"403"}),
    "a browser that hides where it comes from": (post("/api/v0/id", "User-Agent: Mozilla/5.0"), {"403"}),
    "an image on a stranger's page": (post("/api/v0/id", "Sec-Fetch-Site: cross-site", method="GET"), {"403"}),
    "a preflight of a stranger's page": (post("/api/v0/add", "Origin: http://evil.example", "Access-Control-Request-Method: POST", method="OPTIONS", token=""), {"403"}),
    "a stranger's name for this machine": (post("/api/v0/id", host="evil.example"), {"403"}),
    "a name under ours": (post("/api/v0/id", host="localhost.evil.example"), {"403"}),
    "our address in another spelling": (post("/api/v0/id", host="2130706433"), {"403"}),
    "a user before the host": (post("/api/v0/id", host="127.0.0.1@evil.example"), {"403", "400"}),
    "two hosts": (post("/api/v0/id", "Host: evil.example"), {"400", "403"}),
    "a forged proxy": (post("/api/v0/id", "X-Forwarded-Host: localhost", host="evil.example"), {"403"}),
    "no host": (b"POST /api/v0/id HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n", {"403", "400"}),
    "GET that deletes": (post("/api/v0/block/rm?arg={leaf}&force=true", method="GET"), {"405"}),
    "HEAD that deletes": (post("/api/v0/block/rm?arg={leaf}&force=true", method="HEAD"), {"405"}),
    "a method in a header": (post("/api/v0/block/rm?arg={leaf}&force=true", "X-HTTP-Method-Override: POST", method="GET"), {"405"}),
    "an invented method": (post("/api/v0/id", method="BREW"), {"405", "400", "closed"}),
    "CONNECT": (post("evil.example:443", method="CONNECT"), {"400", "403", "404", "405", "closed"}),
    "a verb by a way round": (post("/api/v0/x/../shutdown"), {"400", "404"}),
    "a verb by an encoded way round": (post("/api/v0/%2e%2e/v0/shutdown"), {"400"}),
    "a verb with an encoded slash": (post("/api/v0/repo%2Fgc"), {"400"}),
    "a verb in capitals": (post("/API/V0/SHUTDOWN"), {"404"}),
    "a verb with a NUL": (post("/api/v0/shutdown%00"), {"400"}),
    "a verb of ten thousand letters": (post("/api/v0/" + "a" * 10_000), {"404", "414"}),
    "a path of 200 KiB": (post("/api/v0/cat?arg=" + "a" * 200_000), {"400", "414", "431", "closed"}),
    "two thousand arguments": (post("/api/v0/pin/rm?" + "&".join(["arg=a"] * 2000)), {"400"}),
    "a number of a thousand digits": (post("/api/v0/cat?arg={leaf}&offset=" + "9" * 1000), {"400"}),
    "a length of 2^63": (post("/api/v0/cat?arg={leaf}&length=9223372036854775808"), {"500"}),
    "a depth that is none": (post("/api/v0/refs?arg={leaf}&max-depth=x"), {"400"}),
    "a fanout of 2^40": (post("/api/v0/add?max-hamt-fanout=1099511627776", FORM, body=named(b"f")), {"500"}),
    "chunks of one byte each": (post("/api/v0/add?only-hash=true&chunker=size-1", FORM, body=named(b"f", data=b"x" * 9999)), {"200", "500"}),
    "chunks of 2^50": (post("/api/v0/add?only-hash=true&chunker=size-1125899906842624", FORM, body=named(b"f")), {"500"}),
    "a file of this machine by nocopy": (post("/api/v0/add?nocopy=true", FORM, "Abspath: /etc/passwd", body=named(b"passwd")), {"500"}),
    "a file of this machine by Abspath": (post("/api/v0/add?only-hash=true", FORM, body=form(b'Content-Disposition: form-data; filename="f"\r\nAbspath: /etc/passwd', b"")), {"200"}),
    "a file of this machine as a path": (post("/api/v0/cat?arg=/etc/passwd"), {"500"}),
    "a name that resolves elsewhere": (post("/api/v0/resolve?arg=/ipns/evil.example"), {"500"}),
    "a file above the root": (post("/api/v0/add", FORM, body=named(b"..%2F..%2Fetc%2Fpasswd")), {"400"}),
    "a directory above the root": (post("/api/v0/add", FORM, body=named(b"a/../../b", b"application/x-directory")), {"400"}),
    "a name with a NUL": (post("/api/v0/add", FORM, body=named(b"a%00b")), {"400"}),
    "a name of 300 directories": (post("/api/v0/add", FORM, body=named(b"a/" * 300)), {"400"}),
    "a file that is a directory too": (post("/api/v0/add?silent=true", FORM, body=b"--B\r\nContent-Disposition: form-data; filename=\"a\"\r\n\r\nx\r\n" + named(b"a/b")), {"500"}),
    "a link with an endless target": (post("/api/v0/add", FORM, body=named(b"l", b"application/symlink", b"a" * 40_000)), {"400"}),
    "a line break in a name": (post("/api/v0/add?only-hash=true", FORM, body=named(b"a%0d%0aX-Evil:%201")), {"200"}),
    "a line break in the pin's name": (post("/api/v0/pin/add?arg={leaf}&name=a%0d%0aX-Evil:%201"), {"200"}),
    "no boundary": (post("/api/v0/add", "Content-Type: multipart/form-data", body=named(b"f")), {"400"}),
    "a boundary of a thousand letters": (post("/api/v0/add", "Content-Type: multipart/form-data; boundary=" + "B" * 1000, body=named(b"f")), {"400"}),
    "another boundary": (post("/api/v0/add", "Content-Type: multipart/form-data; boundary=C", body=named(b"f")), {"400"}),
    "a boundary of line breaks": (post("/api/v0/add", 'Content-Type: multipart/form-data; boundary="\\\r"', body=named(b"f")), {"400", "closed"}),
    "no closing boundary": (post("/api/v0/add", FORM, body=named(b"f")[:-6]), {"400", "closed", "200"}),
    "headers without end": (post("/api/v0/add", FORM, body=b"--B\r\nA: " + b"a" * 100_000), {"400"}),
    "a thousand headers": (post("/api/v0/add", FORM, body=form(b"\r\n".join(b"H%d: 1" % at for at in range(1000)))), {"400"}),
    "multiparts within one another": (post("/api/v0/add", FORM, body=form(b"Content-Type: multipart/mixed; boundary=C", b"--C\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n--D--\r\n--C--")), {"400"}),
    "an endless preamble": (post("/api/v0/add", FORM, body=b"x" * 200_000), {"400"}),
    "ten thousand boundaries": (post("/api/v0/add?only-hash=true", FORM, body=b"--B\r\n\r\n\r\n" * 1000 + b"--B--"), {"200", "400"}),
    "a body that is announced and never comes": (post("/api/v0/add", FORM, length=10**12), {"closed", "400"}),
    "both lengths": (post("/api/v0/id", "Transfer-Encoding: chunked", length=5), {"200", "400", "closed"}),
    "a chunk of 2^70": (post("/api/v0/add", FORM, "Transfer-Encoding: chunked", length=-1) + b"fffffffffffffffffff\r\n", {"400", "closed"}),
    "a call within a body": (post("/api/v0/id", body=b"POST /api/v0/shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), {"200"}),
    "a block of 3 MiB": (post("/api/v0/block/put", FORM, body=named(b"f", data=bytes(3 << 20))), {"400", "closed"}),
    "a nest of ten thousand lists": (post("/api/v0/dag/put", FORM, body=named(b"f", data=b"[" * 10_000 + b"]" * 10_000)), {"500"}),
    "cbor that claims 2^60 items": (post("/api/v0/dag/put?input-codec=dag-cbor", FORM, body=named(b"f", data=b"\x9b\x10" + bytes(7))), {"500"}),
    "a CAR that claims a header of 2^60": (post("/api/v0/dag/import", FORM, body=named(b"f", data=b"\xff\xff\xff\xff\xff\xff\xff\x7f")), {"500"}),
    "a pinned block to delete": (post("/api/v0/block/rm?arg={leaf}"), {"200"}),
    "a setting to change": (post("/api/v0/config?arg=API.HTTPHeaders&arg=%7B%7D&json=true"), {"500"}),
    "a timeout of a thousand years": (post("/api/v0/id?timeout=8760000h"), {"200"}),
    "a negative timeout": (post("/api/v0/id?timeout=-1s"), {"400"}),
    "a websocket": (post("/api/v0/id", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"), {"200", "400", "403", "426", "closed"}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), {"400", "closed"}),
    "a line without end": (b"POST /" + b"a" * 300_000, {"400", "414", "431", "closed"}),
    "figures without the token": (post("/metrics", method="GET", token=""), {"403"}),
    "health by a stranger's name": (post("/healthz/../metrics", method="GET", token=""), {"400", "403"}),
}  # fmt: skip


def test_hostile_calls_are_refused_and_others_are_served(shoal) -> None:
    assert len(HOSTILE) >= 60
    with serving(shoal) as served:
        leaf = served.add(b"has to stay")
        wrong: list[str] = []
        for name, (request, allowed) in HOSTILE.items():
            for mark, text in {
                "token": served.token,
                "short": served.token[:-1],
                "leaf": leaf,
                "port": str(served.port),
            }.items():
                request = request.replace(b"{" + mark.encode() + b"}", text.encode())
            answer = spoken(served.port, request)
            status = "closed" if answer == b"closed" else answer.split(b" ", 2)[1].decode()
            head = answer.partition(b"\r\n\r\n")[0].lower()
            if status not in allowed:
                wrong.append(f"{name}: {status} {answer[-200:]!r}")
            if (
                b"\nx-evil" in head
                or b"root:x:0" in answer
                or b"traceback" in answer.lower()
                or served.token.encode() in answer
            ):
                wrong.append(f"{name}: {answer[:300]!r}")
            if b"access-control-allow-origin" in head:
                wrong.append(f"{name}: lets a page read it")
            assert served.process.poll() is None, name
        assert wrong == []
        assert served("cat", arg=leaf).content == b"has to stay"
        assert served("pin/ls", type="recursive").json()["Keys"].keys() == {leaf}
        assert served.rss < 300 << 20


@pytest.mark.parametrize("door", ["rpc", "gateway"])
def test_a_thousand_clients_that_never_read_cost_little_and_others_are_served(shoal, door) -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * SLEEPERS + 200:
        pytest.skip(f"a process may open only {most} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), most))
    with serving(shoal) as served:
        root = served.add(PAINTED)
        if door == "rpc":
            asked = [
                post(f"/api/v0/{verb}?arg={root}", token=served.token) for verb in ("cat", "dag/export", "get", "refs")
            ]
            port = served.port
        else:
            port = int(served.ready["url"].rpartition(":")[2])
            asked = [
                post(f"/ipfs/{root}{form}", method="GET", token="")
                for form in ("", "?format=car", "?format=tar", "?format=raw")
            ]
        for request in asked * 4:
            spoken(port, request)
        before = served.rss
        sleepers = []
        try:
            for at in range(SLEEPERS):
                connection = socket.socket()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", port))
                connection.sendall(asked[at % len(asked)])
                sleepers.append(connection)
            assert served("cat", arg=root).content == PAINTED
            assert served.add(b"beside them")
            assert httpx.get(f"{served.ready['url']}/ipfs/{root}", timeout=60).content == PAINTED
            # 32 KiB for each on its way, in memory about three times, and the connection itself.
            assert served.rss - before < 230 << 20
        finally:
            for connection in sleepers:
                connection.close()
        assert served("version").status_code == 200


def test_clients_that_send_half_and_stop_do_not_keep_others_out(shoal) -> None:
    """More of them than there are threads for uploads: what waits for a body is told so, what reads is served."""
    with serving(shoal) as served:
        root = served.add(PAINTED)
        head = post("/api/v0/add", FORM, token=served.token, body=named(b"f", data=PAINTED[:200_000]), length=10**9)
        sleepers = []
        try:
            for _ in range(40):
                connection = socket.create_connection(("127.0.0.1", served.port), timeout=60)
                connection.sendall(head[:-20])
                sleepers.append(connection)
            assert served("cat", arg=root).content == PAINTED
            assert served("block/stat", arg=root).status_code == 200
            for _ in range(50):
                answer = served("add", {"file": ("f", b"one more")})
                if answer.status_code == 429:
                    break
            assert answer.json()["Message"].startswith("too many calls")
        finally:
            for connection in sleepers:
                connection.close()
        for _ in range(100):
            if served("add", {"file": ("f", b"one more")}).status_code == 200:
                break
        assert served("add", {"file": ("f", b"one more")}).status_code == 200
        assert os.path.exists(served.ready["rpc"]["token_file"])
