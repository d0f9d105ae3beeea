"""`shoal serve` as a person runs it: real processes, real sockets, strangers on the other end.

The hostile requests are a table; whatever is sent, the server answers or closes, keeps serving others, and says nothing it should not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import psutil
import pytest
from raw_socket import spoken

import shoal as library

if TYPE_CHECKING:
    from collections.abc import Iterator

PAINTED = b"".join(bytes((at * at + mark) % 251 for at in range(65536)) for mark in range(64))


@contextlib.contextmanager
def serving(shoal, *words: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[bytes]]]:
    """A server that is ready, and what it said."""
    process = shoal.start(
        "serve", "--listen", "127.0.0.1:0", "--json", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read().decode()
        yield json.loads(line), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
        assert process.returncode == 0, errors.decode()


@pytest.fixture
def tree(shoal):
    folder = shoal.folder / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("painted\n")
    (folder / "big").write_bytes(PAINTED)
    return folder


def fetched(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    with urlopen(Request(url, headers=headers), timeout=60) as answer:
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def test_a_folder_is_added_pinned_and_served_until_ctrl_c(shoal, tree) -> None:
    with serving(shoal, tree) as (ready, _):
        root = ready["roots"]["tree"]
        assert fetched(f"{ready['urls']['tree']}/a.txt")[1] == b"painted\n"
        assert fetched(f"{ready['url']}/ipfs/{root}/big")[1] == PAINTED
        status, body, headers = fetched(f"{ready['url']}/ipfs/{root}/big", Range="bytes=65530-65545")
        assert (status, body) == (206, PAINTED[65530:65546])
        assert "server" not in headers
        assert b"tree" in fetched(ready["url"])[1]
        # Programs that read $IPFS_PATH/gateway find this one.
        assert (shoal.store / "gateway").read_text().strip() == ready["url"]
        # Others read and add meanwhile.
        assert shoal("add", "-q", tree / "a.txt").code == 0
    assert not (shoal.store / "gateway").exists()
    assert root in shoal("pin", "ls", "--type", "recursive").out


def test_sigterm_ends_it_as_well(shoal, tree) -> None:
    with serving(shoal, tree) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_cid_is_served_without_adding_anything(shoal, tree) -> None:
    cid = shoal("add", "-Q", tree / "a.txt").word
    with serving(shoal, cid) as (ready, _):
        assert fetched(ready["urls"][cid])[1] == b"painted\n"


def test_what_is_not_there_is_said_before_listening(shoal, tree) -> None:
    shoal("add", "-q", tree / "a.txt")
    assert (
        "not in the store" in shoal("serve", "--listen", "127.0.0.1:0", str(library.CID.of(b"absent")), code=3).errors
    )
    assert "HOST:PORT" in shoal("serve", "--listen", "8080", code=2).errors
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = shoal("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", code=2)
    assert "choose another with --listen" in run.errors


def get(path: str, *lines: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


# What is sent ({root} is the tree), and the statuses it may be answered with; "closed" where nothing need be said.
HOSTILE: dict[str, tuple[bytes, set[str]]] = {
    "dot dot": (get("/ipfs/{root}/../../etc/passwd"), {"400"}),
    "encoded dot dot": (get("/ipfs/{root}/%2e%2e/%2e%2e/etc/passwd"), {"400"}),
    "twice encoded dot dot": (get("/ipfs/{root}/%252e%252e/etc"), {"404"}),
    "encoded slash": (get("/ipfs/{root}/..%2f..%2fetc"), {"400"}),
    "backslash": (get("/ipfs/{root}/..\\..\\etc"), {"400", "404"}),
    "NUL": (get("/ipfs/{root}/a.txt%00.png"), {"400"}),
    "not UTF-8": (get("/ipfs/{root}/%ff%fe"), {"404"}),
    "another file of the machine": (get("/etc/passwd"), {"404"}),
    "a key of the store": (get("/keys/self"), {"404"}),
    "another scheme": (get("file:///etc/passwd"), {"400", "404"}),
    "an absolute URI of another host": (get("http://evil.example/ipfs/{root}"), {"200", "301", "400", "404", "421"}),
    "no CID": (get("/ipfs/"), {"400"}),
    "half a CID": (get("/ipfs/bafybei"), {"400"}),
    "a CID of a thousand characters": (get("/ipfs/b" + "a" * 1000), {"400"}),
    "an identity CID that is too long": (get("/ipfs/bafk" + "aa" * 200), {"400"}),
    "an unknown hash": (get("/ipfs/bafkrgqaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), {"400", "404"}),
    "a path of 60 KiB": (get("/ipfs/{root}/" + "a" * 61440), {"400", "414", "431", "closed"}),
    "five hundred names": (get("/ipfs/{root}" + "/a" * 500), {"404", "414"}),
    "a query of many fields": (get("/ipfs/{root}?" + "&".join(f"a{n}=1" for n in range(200))), {"400"}),
    "headers of 200 KiB": (get("/ipfs/{root}/a.txt", *[f"X-{n}: {'a' * 1000}" for n in range(200)]), {"400", "431", "closed"}),
    "header injection by filename": (get("/ipfs/{root}/a.txt?filename=a%0d%0aX-Evil:%201%0d%0a%0d%0aevil"), {"200"}),
    "header injection by path": (get("/ipfs/{root}/%0d%0aX-Evil:%201"), {"404"}),
    "header injection by redirect": (get("/ipfs/{root}/sub?%0d%0aX-Evil:%201"), {"301"}),
    "header injection by host": (get("/ipfs/{root}", host="localhost%0d%0aX-Evil: 1"), {"400", "421"}),
    "a quote in the filename": (get('/ipfs/{root}/a.txt?filename=a%22;b=%22c'), {"200"}),
    "script in a missing name": (get("/ipfs/{root}/%3Cscript%3Ealert(1)%3C/script%3E"), {"404"}),
    "another's host name": (get("/ipfs/{root}/a.txt", host="evil.example"), {"421"}),
    "a host name under ours": (get("/ipfs/{root}/a.txt", host="localhost.evil.example"), {"421"}),
    "a host with a user": (get("/ipfs/{root}/a.txt", host="127.0.0.1@evil.example"), {"400", "421"}),
    "two hosts": (get("/ipfs/{root}/a.txt", "Host: localhost"), {"400"}),
    "a forged proxy": (get("/ipfs/{root}/a.txt", "X-Forwarded-Host: evil.example"), {"200"}),
    "a subdomain that is no CID": (get("/", host="zzz.ipfs.localhost"), {"400"}),
    "a subdomain too long for DNS": (get("/", host="b" + "a" * 70 + ".ipfs.localhost"), {"400"}),
    "a service worker for all": (get("/ipfs/{root}", "Service-Worker: script"), {"400"}),
    "POST": (get("/ipfs/{root}", "Content-Length: 0", method="POST"), {"405"}),
    "PUT": (get("/ipfs/{root}/new", "Content-Length: 0", method="PUT"), {"405"}),
    "DELETE": (get("/ipfs/{root}", method="DELETE"), {"405"}),
    "an invented method": (get("/ipfs/{root}", method="BREW"), {"400", "405", "closed"}),
    "CONNECT": (get("evil.example:443", method="CONNECT"), {"400", "404", "405", "421", "closed"}),
    "TRACE": (get("/ipfs/{root}", method="TRACE"), {"400", "405"}),
    "a range behind the end": (get("/ipfs/{root}/a.txt", "Range: bytes=99-"), {"416"}),
    "a thousand ranges": (get("/ipfs/{root}/a.txt", "Range: bytes=" + ",".join(["0-0"] * 1000)), {"200"}),
    "ranges over one another": (get("/ipfs/{root}/a.txt", "Range: bytes=0-7,0-7,0-7"), {"200"}),
    "a range of 2^64": (get("/ipfs/{root}/a.txt", "Range: bytes=0-18446744073709551616"), {"200", "206"}),
    "a negative range": (get("/ipfs/{root}/a.txt", "Range: bytes=-0"), {"416"}),
    "a range that is none": (get("/ipfs/{root}/a.txt", "Range: bytes=\x00"), {"200", "400"}),
    "entity-bytes of 2^200": (get("/ipfs/{root}?format=car&entity-bytes=0:" + "9" * 60), {"400"}),
    "a format that is none": (get("/ipfs/{root}?format=../../x"), {"400"}),
    "accept of a thousand types": (get("/ipfs/{root}/a.txt", "Accept: " + ", ".join(["a/b;q=0.1"] * 1000)), {"200"}),
    "a weight that is no number": (get("/ipfs/{root}/a.txt", "Accept: application/vnd.ipld.raw;q=nan"), {"200"}),
    "uri of javascript": (get("/ipfs/?uri=javascript:alert(1)"), {"400"}),
    "uri with line breaks": (get("/ipfs/?uri=ipfs%3A%2F%2Fa%0d%0aX-Evil:1/x"), {"301", "400"}),
    "an ipns name that leads out": (get("/ipns/evil.example/"), {"404"}),
    "a body that is announced and never sent": (get("/ipfs/{root}/a.txt", "Content-Length: 1000000000"), {"200", "400", "closed"}),
    "both lengths": (get("/ipfs/{root}/a.txt", "Content-Length: 5", "Transfer-Encoding: chunked"), {"200", "400", "closed"}),
    "a chunk of 2^70": (get("/ipfs/{root}/a.txt", "Transfer-Encoding: chunked") + b"fffffffffffffffffff\r\n", {"200", "400", "closed"}),
    "a request within a request": (get("/ipfs/{root}/a.txt", "Content-Length: 0") + get("/etc/passwd"), {"200"}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), {"400", "closed"}),
    "HTTP/0.9": (b"GET /ipfs/{root}/a.txt\r\n\r\n", {"200", "400", "closed"}),
    "a line without end": (b"GET /" + b"a" * 300_000, {"400", "414", "431", "closed"}),
    "websocket": (
        get("/ipfs/{root}/a.txt", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"),
        {"200", "400", "403", "426", "closed"},
    ),
}  # fmt: skip


def test_hostile_requests_are_refused_and_others_are_served(shoal, tree) -> None:
    with serving(shoal, tree) as (ready, process):
        root, port = ready["roots"]["tree"], int(ready["url"].rpartition(":")[2])
        wrong: list[str] = []
        for name, (request, allowed) in HOSTILE.items():
            answer = spoken(port, request.replace(b"{root}", root.encode()))
            status = "closed" if answer == b"closed" else answer.split(b" ", 2)[1].decode()
            head = answer.partition(b"\r\n\r\n")[0].lower()
            if status not in allowed:
                wrong.append(f"{name}: {status}")
            if b"\nx-evil" in head or b"root:x:0" in answer or b"traceback" in answer.lower() or b"text/html" in head:
                wrong.append(f"{name}: {answer[:200]!r}")
            assert process.poll() is None, name
        assert wrong == []
        assert len(HOSTILE) >= 40
        assert fetched(f"{ready['urls']['tree']}/a.txt")[1] == b"painted\n"
        assert psutil.Process(process.pid).memory_info().rss < 300 << 20


def test_clients_that_never_read_cost_little_and_others_are_served(shoal, tree) -> None:
    forms = ("", "?format=raw", "?format=car", "?format=tar")
    with serving(shoal, tree) as (ready, process):
        root, port = ready["roots"]["tree"], int(ready["url"].rpartition(":")[2])
        for form in forms * 8:
            fetched(f"{ready['url']}/ipfs/{root}/big{form}")
        before = psutil.Process(process.pid).memory_info().rss
        sleepers = []
        for form in forms * 50:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(get(f"/ipfs/{root}/big{form}"))
            sleepers.append(connection)
        assert fetched(f"{ready['urls']['tree']}/big")[1] == PAINTED
        # All share 32 MiB, which are in memory about three times; a block kept for each would be 200 MiB more.
        assert psutil.Process(process.pid).memory_info().rss - before < 130 << 20
        for connection in sleepers:
            connection.close()
        assert fetched(f"{ready['urls']['tree']}/a.txt")[1] == b"painted\n"


def test_a_car_that_cannot_be_finished_ends_without_its_end(shoal, tree) -> None:
    cid = shoal("add", "-Q", "--pin=false", tree / "big").word
    leaf = shoal("refs", cid).lines[2]
    shoal("block", "rm", leaf)
    with serving(shoal) as (ready, _):
        answer = spoken(int(ready["url"].rpartition(":")[2]), get(f"/ipfs/{cid}?format=car"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding: chunked" in answer.partition(b"\r\n\r\n")[0].lower()
        assert not answer.endswith(b"0\r\n\r\n")


def test_a_person_who_did_not_ask_for_it_is_told_that_others_can_reach_it(shoal, tree) -> None:
    process = shoal.start("serve", "--listen", "0.0.0.0:0", tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert b"may be reached by other machines" in errors
    assert os.fsdecode(out) is not None
