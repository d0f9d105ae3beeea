"""The RPC's pure parts: bodies cut into files, who may call, options as Go reads them, JSON as Go writes it, figures."""

from __future__ import annotations

import base64
import itertools
import os
import stat

import pytest
from hypothesis import given, settings, strategies as st

from shoal.errors import InvalidInput
from shoal.http.limits import RpcLimits
from shoal.http.message import Refusal, Request
from shoal.http.metrics import Metrics
from shoal.http.rpc import RpcRules, token_of
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.dag import _go_float
from shoal.http.rpc.guard import admit, cors_headers
from shoal.http.rpc.multipart import Multipart, boundary_of, parse_parameters
from shoal.http.rpc.reply import json_bytes
from shoal.http.rpc.verbs import LATER, VERBS, route

LIMITS = RpcLimits(part_header_bytes_max=512, preamble_bytes_max=256)
BODY = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="d"\r\nContent-Type: application/x-directory\r\n\r\n\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file?mode=0644&mtime=7"; filename="d%2Fa+b%2B%C5%BA.txt"\r\n'
    b"Content-Type: application/octet-stream\r\nmtime-nsecs: 5\r\n\r\npainted\r\n--\r\n-B\r\n\r\n"
    b'--B  \r\nContent-Disposition: form-data; name=file; filename="d/link"\r\nContent-Type: application/symlink\r\n\r\na.txt\r\n'
    b"--B\r\n\r\n\r\n"
    b"--B--\r\nepilogue"
)
FOUND = [
    (("d",), "directory", {}, b""),
    (("d", "a b+ź.txt"), "file", {"mode": "0644", "mtime": "7", "mtime-nsecs": "5"}, b"painted\r\n--\r\n-B\r\n"),
    (("d", "link"), "symlink", {}, b"a.txt"),
    ((), "file", {}, b""),
]


def cut(body: bytes, pieces, boundary: bytes = b"B"):
    return [
        (part.names, part.kind, part.meta, b"".join(part.pieces))
        for part in Multipart(iter(pieces), boundary, LIMITS).parts()
    ]


@pytest.mark.parametrize("size", range(1, 40))
def test_a_body_gives_the_same_files_however_it_arrives(size):
    assert cut(BODY, [BODY[at : at + size] for at in range(0, len(BODY), size)]) == FOUND


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_where_the_pieces_meet_does_not_matter(cuts):
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [piece for at, end in itertools.pairwise(edges) if (piece := BODY[at:end])]
    assert cut(BODY, pieces) == FOUND


@pytest.mark.parametrize("length", range(BODY.index(b"--B--") + 4))
def test_a_body_that_ends_before_its_last_boundary_is_an_error_wherever_it_ends(length):
    with pytest.raises(Refusal, match="unexpected EOF"):
        cut(BODY, [BODY[:length]] if length else [])


def test_a_part_that_is_not_read_is_passed_over():
    found = [part.names for part in Multipart(iter([BODY]), b"B", LIMITS).parts()]
    assert found == [names for names, *_ in FOUND]


def test_a_part_of_which_one_piece_was_read_is_passed_over():
    names = []
    for part in Multipart(iter([BODY[at : at + 3] for at in range(0, len(BODY), 3)]), b"B", LIMITS).parts():
        next(part.pieces, None)
        names.append(part.names)
    assert names == [names for names, *_ in FOUND]


# What is sent, and what is said of it.
BAD_BODIES = {
    "no boundary at all": (b"x" * 1000, "does not begin with its boundary"),
    "headers without end": (b"--B\r\nA: " + b"a" * 1000, "too long"),
    "too many headers": (b"--B\r\n" + b"".join(b"H%d: 1\r\n" % n for n in range(40)) + b"\r\n--B--", "too many"),
    "a header that is none": (b"--B\r\nnonsense\r\n\r\n--B--", "headers that are none"),
    "a boundary that goes on": (b"--Bxyz\r\n\r\n\r\n--B--", "something else"),
    "a multipart within": (b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C--\r\n--B--", "multipart itself"),
    "a way up": (b"--B\r\nContent-Disposition: form-data; filename=\"a/..%2F..%2Fetc\"\r\n\r\n\r\n--B--", "upwards"),
    "a NUL": (b"--B\r\nContent-Disposition: form-data; filename=\"a%00b\"\r\n\r\n\r\n--B--", "NUL"),
    "a deep name": (b"--B\r\nContent-Disposition: form-data; filename=\"" + b"a/" * 200 + b"\"\r\n\r\n\r\n--B--", "128"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_what_is_no_body_is_refused_with_a_sentence(name, size):
    body, said = BAD_BODIES[name]
    with pytest.raises(Refusal, match=said):
        cut(body, [body[at : at + size] for at in range(0, len(body), size)])


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_is_raised(data):
    try:
        cut(data, [data] if data else [])
        cut(data, [b"--B\r\n", data, b"\r\n--B--"])
    except Refusal:
        pass


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=x; boundary="a b"', b"a b"),
        ("multipart/form-data; boundary=" + "a" * 70, b"a" * 70),
        ("multipart/form-data; boundary=" + "a" * 71, None),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ('multipart/form-data; boundary="a "', None),
        ("multipart/form-data; boundary=ź", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_the_boundary_is_what_the_header_says_or_there_is_none(header, boundary):
    if boundary is None:
        with pytest.raises(Refusal):
            boundary_of(header)
    else:
        assert boundary_of(header) == boundary


def test_parameters_have_quotes_and_escapes():
    assert parse_parameters(r'; a=1; b="x;\"y\\"; c; d=2') == {"a": "1", "b": 'x;"y\\'}


# Who may call

RULES = RpcRules(token="a secret of some length", origins=frozenset({"http://localhost:3000"}))
TOKEN = {"authorization": "Bearer a secret of some length"}


def request(method: str = "POST", host: str = "127.0.0.1:5001", **headers: str) -> Request:
    pairs = [
        (b"host", host.encode()),
        *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
    ]
    return Request.parse(
        {"method": method, "path": "/api/v0/id", "headers": pairs, "scheme": "http", "query_string": b""}, LIMITS
    )


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        TOKEN,
        {"authorization": "bearer   a secret of some length"},
        {"authorization": basic("anyone:a secret of some length")},
        TOKEN | {"origin": "http://localhost:3000", "user_agent": "Mozilla/5.0"},
        TOKEN | {"referer": "http://localhost:3000/page?x=1"},
        TOKEN | {"sec_fetch_site": "none"},
    ],
)
def test_who_has_the_token_is_let_in(headers):
    admit(RULES, request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer a secret of some lengt"},
        {"authorization": "Bearer a secret of some length and more"},
        {"authorization": "a secret of some length"},
        {"authorization": "Basic !!!"},
        {"authorization": basic("a secret of some length")},
        {"authorization": basic("a secret of some length:")},
        {"authorization": "Bearer \xff"},
        TOKEN | {"origin": "http://evil.example"},
        TOKEN | {"origin": "null"},
        TOKEN | {"origin": ""},
        TOKEN | {"origin": "http://localhost:3000.evil.example"},
        TOKEN | {"origin": "https://localhost:3000"},
        TOKEN | {"referer": "http://evil.example/"},
        TOKEN | {"referer": "http://[bad/"},
        TOKEN | {"user_agent": "Mozilla/5.0"},
        TOKEN | {"sec_fetch_site": "cross-site"},
        TOKEN | {"sec_fetch_site": "same-origin"},
        {"origin": "http://localhost:3000"},
    ],
)
def test_everybody_else_is_not(headers):
    with pytest.raises(Refusal) as caught:
        admit(RULES, request(**headers))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", "", "[::2]:5001", "localhost.:5001"]
)
def test_a_name_that_was_made_to_mean_this_machine_is_not_answered(host):
    with pytest.raises(Refusal, match="host name"):
        admit(RULES, request(host=host, **TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:5001"])
def test_loopback_is_answered_by_each_of_its_names(host):
    admit(RULES, request(host=host, **TOKEN))


def test_a_page_is_told_only_if_its_origin_was_named():
    assert cors_headers(RULES, request(origin="http://evil.example")) == {}
    assert cors_headers(RULES, request()) == {}
    found = cors_headers(RULES, request("OPTIONS", origin="http://localhost:3000"))
    assert found["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "Authorization" in found["Access-Control-Allow-Headers"]
    assert found["Vary"] == "Origin"
    # A browser sends no token with the question.
    admit(RULES, request("OPTIONS", origin="http://localhost:3000"))


def test_the_rules_do_not_show_the_token():
    assert "a secret" not in repr(RULES)


# The token


def test_a_token_is_made_once_and_for_its_owner_alone(tmp_path):
    old = os.umask(0)
    try:
        token = token_of(tmp_path)
    finally:
        os.umask(old)
    assert token_of(tmp_path) == token
    assert len(token) == 43
    assert stat.S_IMODE((tmp_path / "rpc-token").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["rpc-token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_token_that_others_can_read_is_refused(tmp_path, mode):
    token_of(tmp_path)
    (tmp_path / "rpc-token").chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        token_of(tmp_path)


@pytest.mark.parametrize("text", [b"", b"short", b"a" * 31, b"a" * 257, b"\xff" * 40, b"a b" * 20, b"\n" * 100])
def test_a_file_that_holds_no_token_is_refused(tmp_path, text):
    path = tmp_path / "rpc-token"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="holds no token"):
        token_of(tmp_path)


def test_a_token_that_is_a_link_or_a_pipe_is_refused(tmp_path):
    (tmp_path / "elsewhere").write_text("a" * 43)
    (tmp_path / "rpc-token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput):
        token_of(tmp_path)
    (tmp_path / "rpc-token").unlink()
    os.mkfifo(tmp_path / "rpc-token", 0o600)
    with pytest.raises(InvalidInput):
        token_of(tmp_path)


# Calls


def call(query: str) -> Call:
    return Call(None, RULES, query, lambda: iter(()))  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "meant"), [("", True), ("=true", True), ("=T", True), ("=1", True), ("=false", False), ("=0", False), ("=F", False)])  # fmt: skip
def test_yes_and_no_are_read_as_go_reads_them(text, meant):
    assert call(f"flag{text}").flag("flag") is meant


@pytest.mark.parametrize("text", ["yes", "no", "tRUE", "2", " true"])
def test_what_is_neither_yes_nor_no_is_refused(text):
    with pytest.raises(Refusal, match='could not convert value ".*" to type "bool"'):
        call(f"flag={text}").flag("flag")


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "0x10", "9" * 21, "--1", "+1", "\u0661"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises((Refusal, CommandError)):
        call(f"n={text}").integer("n", default=0, least=0, most=2**63)


def test_numbers_keep_their_bounds():
    assert [call(f"n={n}").integer("n", default=0, least=-1, most=3) for n in (-1, 3)] == [-1, 3]
    for n in (-2, 4):
        with pytest.raises(CommandError):
            call(f"n={n}").integer("n", default=0, least=-1, most=3)


def test_arguments_are_many_and_options_count_once():
    found = call("arg=a&x=1&arg=b%2Fc&x=2&arg=")
    assert found.arguments == ["a", "b/c", ""]
    assert found.text("x") == "1"
    assert found.text("y", "x") == "1"
    assert found.text("y", default="z") == "z"


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("1m30s", 90), ("2h", 7200), ("1.5s", 1.5), ("100ms", 0.1)])
def test_durations_are_read_as_go_writes_them(text, seconds):
    assert call(f"timeout={text}").seconds("timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 s", "1d", "1s ", "inf"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Refusal):
        call(f"timeout={text}").seconds("timeout")


def test_paths_have_kubos_spellings():
    cid = "bafkqaaa"
    for text in (cid, f"/ipfs/{cid}", f"/ipfs/{cid}/", f"ipfs://{cid}", f"/ipld/{cid}"):
        assert str(call("").path(text).root) == cid
    for text in ("", "xx", "/ipns/example.org", "/etc/passwd", f"/ipfs/{cid}/../x"):
        with pytest.raises(CommandError):
            call("").path(text)


# Answers


def test_json_is_what_go_writes():
    assert json_bytes({"a": "<b> & \u2028", "c": 1}) == b'{"a":"\\u003cb\\u003e \\u0026 \\u2028","c":1}\n'
    assert json_bytes({"n": os.fsdecode(b"\xffx")}).decode() == '{"n":"\ufffdx"}\n'


@pytest.mark.parametrize(
    ("number", "shown"), [(1.0, "1"), (338427 / 338364, "1.0001862"), (1.5, "1.5"), (2 / 3, "0.6666667")]
)
def test_a_float_has_as_many_digits_as_gos(number, shown):
    assert str(_go_float(number)) == shown


def test_figures_are_those_of_the_requests():
    metrics = Metrics()
    for seconds, status in ((0.0005, 200), (0.3, 200), (700.0, 500)):
        metrics.begin("rpc")
        metrics.end("rpc", "add", status, 10, seconds)
    metrics.begin("rpc")
    lines = metrics.text(None).splitlines()
    assert 'shoal_http_requests_total{room="rpc",route="add",status="200"} 2' in lines
    assert 'shoal_http_requests_active{room="rpc"} 1' in lines
    assert 'shoal_http_response_bytes_total{room="rpc"} 30' in lines
    assert 'shoal_http_request_seconds_bucket{room="rpc",route="add",le="0.001"} 1' in lines
    assert 'shoal_http_request_seconds_bucket{room="rpc",route="add",le="600.0"} 2' in lines
    assert 'shoal_http_request_seconds_bucket{room="rpc",route="add",le="+Inf"} 3' in lines
    assert 'shoal_http_request_seconds_count{room="rpc",route="add"} 3' in lines
    assert metrics.text(None).endswith("\n")


def test_no_path_makes_a_word_of_its_own_to_count_by():
    words = {
        route(tuple(path.split("/")))
        for path in ("api/v0/add", "api/v0/x", "x", 'a"b', "healthz", "healthz/x", "api/v0/swarm/peers")
    }
    assert words == {"add", "other", "healthz"}


def test_each_verb_is_done_or_said_to_come():
    assert {name.partition("/")[0] for name in VERBS} & LATER.keys() <= {"config", "pin", "repo", "stats", "version"}
