"""The pure parts of the gateway, as tables: what is asked for, which ranges, which name for caches, which host, which redirect."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given, strategies

from shoal import CID
from shoal.http import Limits
from shoal.http.disposition import disposition
from shoal.http.dnslink import StaticLinks
from shoal.http.etag import is_range_allowed, matches
from shoal.http.media import media_type
from shoal.http.message import Refusal, Request, quoted
from shoal.http.negotiate import CarForm, negotiate
from shoal.http.ranges import Unsatisfiable, parse_ranges
from shoal.http.redirects import BadRedirects, find, parse
from shoal.http.serve import Address
from shoal.http.subdomain import HostRule, inlined, label_of, parse_host, uninlined
from shoal.http.unixfs import murmur3_x64_64

CAR = "application/vnd.ipld.car"


@pytest.mark.parametrize(
    ("query", "accept", "form", "is_from_accept"),
    [
        ({}, "", None, False),
        ({}, "*/*", None, False),
        ({}, "text/html,application/xhtml+xml,*/*;q=0.8", None, False),
        ({}, "application/vnd.ipld.raw", "raw", True),
        ({}, f"{CAR}; version=1; order=dfs; dups=y", "car", True),
        ({"format": "raw"}, "", "raw", False),
        ({"format": "raw"}, CAR, "raw", True),
        ({"format": "car"}, CAR, "car", False),
        ({}, f"application/vnd.ipld.raw;q=0.1, {CAR};q=0.9", "car", True),
        ({}, f"{CAR};q=0, application/x-tar", "tar", True),
        ({"format": ""}, "", None, False),
    ],
)
def test_the_form_is_the_format_else_what_is_accepted_most(query, accept, form, is_from_accept) -> None:
    wanted = negotiate(query, accept)
    assert (wanted.format, wanted.is_from_accept) == (form, is_from_accept)


@pytest.mark.parametrize(
    ("query", "accept", "car"),
    [
        ({}, "", CarForm()),
        ({}, f"{CAR};dups=y", CarForm(duplicates=True)),
        ({"car-dups": "n"}, f"{CAR};dups=y", CarForm()),
        ({"dag-scope": "block"}, "", CarForm("block")),
        ({"entity-bytes": "0:*"}, "", CarForm("entity", (0, None))),
        ({"dag-scope": "all", "entity-bytes": "-5:-1"}, "", CarForm("entity", (-5, -1))),
        ({"dag-scope": "block", "entity-bytes": "1:2"}, "", CarForm("block", (1, 2))),
        ({"car-order": "unk"}, "", CarForm()),
    ],
)
def test_a_car_is_what_its_parameters_say_and_the_url_wins(query, accept, car) -> None:
    assert negotiate({"format": "car", **query}, accept).car == car


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ({"format": "exe"}, "", 400),
        ({"format": "car", "car-version": "2"}, "", 400),
        ({"format": "car", "car-order": "bfs"}, "", 406),
        ({"format": "car", "car-dups": "maybe"}, "", 400),
        ({"format": "car", "dag-scope": "everything"}, "", 400),
        ({"format": "car", "entity-bytes": "5"}, "", 400),
        ({"format": "car", "entity-bytes": "*:5"}, "", 400),
        ({"format": "car", "entity-bytes": "0:" + "9" * 21}, "", 400),
        ({"format": "car", "entity-bytes": "٣:4"}, "", 400),
        ({}, f"{CAR};order=bfs", 406),
    ],
)
def test_what_is_no_form_is_refused(query, accept, status) -> None:
    with pytest.raises(Refusal) as caught:
        negotiate(query, accept)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        (None, None),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=0-10", [(0, 10)]),
        ("bytes=9-", [(9, 10)]),
        ("bytes=-1", [(9, 10)]),
        ("bytes=-10", [(0, 10)]),
        ("bytes=-11", [(0, 10)]),
        ("bytes= 1-2 , 4-5", [(1, 3), (4, 6)]),
        ("bytes=1-2,20-30", [(1, 3)]),
        ("BYTES=1-2", [(1, 3)]),
        ("items=0-1", None),
        ("bytes", None),
        ("bytes=2-1", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        ("bytes=0-9,0-9", None),
        ("bytes=" + ",".join(["0-0"] * 65), None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_ranges_of_ten_bytes(header, ranges) -> None:
    assert parse_ranges(header, 10, 64) == ranges


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=,", "bytes="])
def test_ranges_outside_of_ten_bytes_cannot_be_satisfied(header) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(header, 10, 64)


@given(strategies.text(max_size=60), strategies.integers(0, 1 << 40))
def test_whatever_the_range_header_ranges_lie_in_the_file_and_are_not_more_than_it(text, size) -> None:
    try:
        ranges = parse_ranges("bytes=" + text, size, 64) or []
    except Unsatisfiable:
        return
    assert all(0 <= start < stop <= size for start, stop in ranges)
    assert sum(stop - start for start, stop in ranges) <= size


@pytest.mark.parametrize(
    ("header", "is_match"),
    [(None, False), ("*", True), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ('"b"', False), ("a", False)],
)
def test_if_none_match_compares_weakly(header, is_match) -> None:
    assert matches(header, '"a"') is is_match
    assert matches(header, 'W/"a"') is is_match


def test_if_range_compares_strongly() -> None:
    assert is_range_allowed(None, '"a"')
    assert is_range_allowed('"a"', '"a"')
    assert not is_range_allowed('W/"a"', 'W/"a"')
    assert not is_range_allowed("Tue, 24 Nov 2026 00:00:00 GMT", '"a"')


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("", "inline"),
        ("a.txt", 'inline; filename="a.txt"'),
        ("testжж.pdf", "inline; filename=\"test__.pdf\"; filename*=UTF-8''test%D0%B6%D0%B6.pdf"),
        ('a"; filename="b', 'inline; filename="a_; filename=_b"'),
        ("a\r\nSet-Cookie: b=c", 'inline; filename="a__Set-Cookie: b=c"'),
        ("../../etc/passwd", 'inline; filename=".._.._etc_passwd"'),
    ],
)
def test_a_file_name_in_a_header_is_one_name(name, header) -> None:
    assert disposition("inline", name) == header


@given(strategies.text(max_size=400))
def test_whatever_the_name_the_header_is_one_line_of_printable_ascii(name) -> None:
    header = disposition("attachment", name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') in {0, 2}


@pytest.mark.parametrize(
    ("name", "first", "kind"),
    [
        ("a.html", b"", "text/html; charset=utf-8"),
        ("a.PNG", b"", "image/png"),
        ("", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("", b"plain text\n", "text/plain; charset=utf-8"),
        ("", "ž".encode()[:1], "text/plain; charset=utf-8"),
        ("", b"\x00\x01", "application/octet-stream"),
        ("", b'{"a": 1}', "application/json"),
        ("", b"<!DOCTYPE html>", "text/html; charset=utf-8"),
        ("a.tar.gz", b"", "application/gzip"),
        ("%2e%2e/x.svg", b"", "image/svg+xml"),
    ],
)
def test_a_file_has_the_type_of_its_name_else_of_its_first_bytes(name, first, kind) -> None:
    assert media_type(name, first) == kind


RULES = parse(
    b"# a comment\r\n\r\n/one /two\n/posts/:year/:title /articles/:year/:title 302\n/splat/* /to/:splat 301\n"
    b"/gone/* /410.html 410\n/q/:a /t?fixed=1&a=:a 301\n/away https://example.org/x\n/* /index.html 200",
    1000,
)


@pytest.mark.parametrize(
    ("names", "query", "found"),
    [
        (("one",), "", ("/two", 301)),
        (("posts", "2026", "a b"), "", ("/articles/2026/a%20b", 302)),
        (("splat", "a", "b"), "", ("/to/a/b", 301)),
        (("splat", "\r\nSet-Cookie: a"), "", ("/to/%0D%0ASet-Cookie%3A%20a", 301)),
        (("gone",), "", ("/410.html", 410)),
        (("q", "x&y"), "b=2", ("/t?a=x%26y&b=2&fixed=1", 301)),
        (("q", "x"), "fixed=9", ("/t?a=x&fixed=9", 301)),
        (("away",), "", ("https://example.org/x", 301)),
        (("anything", "else"), "", ("/index.html", 200)),
    ],
)
def test_the_first_rule_that_fits_redirects(names, query, found) -> None:
    assert find(RULES, names, query) == found


@pytest.mark.parametrize(
    "text",
    [
        b"/a",
        b"/a /b 301 more",
        b"/a /b 500",
        b"/a /b 301!",
        b"a /b",
        b"/a javascript:alert(1)",
        b"/a //elsewhere.example",
        b"/:x/:x /b",
        b"/*/a /b",
        b"/a \xff",
        b"/a /b\n" * 4,
    ],
)
def test_a_file_of_redirects_with_one_bad_line_is_bad(text) -> None:
    with pytest.raises(BadRedirects, match="could not parse _redirects"):
        parse(text, 3)


KNOWN = {"localhost": HostRule(), "example.com": HostRule(), "plain.example": HostRule(subdomains=False)}


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "path"),
        ("[::1]", "path"),
        ("", "path"),
        ("localhost", "gateway"),
        ("plain.example", "path"),
        ("bafkqaaa.ipfs.localhost", "subdomain"),
        ("a.b.ipns.example.com", "subdomain"),
    ],
)
def test_a_host_is_what_was_set_up(host, kind) -> None:
    assert parse_host(host, KNOWN, has_dnslink=False, any_host=False).kind == kind


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evillocalhost", "ipfs.localhost", "x.y.localhost"]
)
def test_a_host_that_nobody_set_up_is_refused(host) -> None:
    with pytest.raises(Refusal) as caught:
        parse_host(host, KNOWN, has_dnslink=False, any_host=False)
    assert caught.value.status == 421


def test_a_domain_as_one_label_is_a_domain_again() -> None:
    assert inlined("en.wikipedia-on-ipfs.org") == "en-wikipedia--on--ipfs-org"
    assert uninlined(inlined("en.wikipedia-on-ipfs.org")) == "en.wikipedia-on-ipfs.org"


def test_a_root_is_a_label_where_it_fits() -> None:
    cid = CID("QmYiPNLU7Hc739sqcBH5DgVmk5mKTQVzKSqvJJeNGWTgrE")
    assert CID(label_of(cid)) == cid.to_v1()
    with pytest.raises(Refusal, match="DNS label length limit of 63"):
        label_of(CID.of(b"x", hash="sha2-512"))


def test_links_of_domains_are_followed_and_circles_are_not() -> None:
    links = StaticLinks(
        {"a.example": "/ipns/b.example/x", "b.example": "/ipfs/bafkqaaa/y", "c.example": "/ipns/c.example"}
    )
    assert links.resolve("a.example").path == "/ipfs/bafkqaaa/y/x"
    assert links.resolve("c.example") is None
    assert links.resolve("d.example") is None


def scope(path: bytes, query: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, object]:
    return {"method": "GET", "path": "/", "raw_path": path, "query_string": query, "headers": headers or []}


def test_names_are_decoded_one_by_one() -> None:
    request = Request.parse(scope(b"/ipfs//a%20b/%C5%BA/%ff%25/"), Limits())
    assert request.names == ("ipfs", "a b", "ź", "\udcff%")
    assert request.ends_in_slash
    assert quoted(request.names) == "/ipfs/a%20b/%C5%BA/%FF%25"


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (scope(b"/a/../b"), 400),
        (scope(b"/a/%2e%2E/b"), 400),
        (scope(b"/a%2fb"), 400),
        (scope(b"/a%00b"), 400),
        (scope(b"/" + b"a" * 8192), 414),
        (scope(b"/a" * 129), 414),
        (scope(b"/", b"&".join(b"a=1" for _ in range(65))), 400),
        (scope(b"/", headers=[(b"x", b"y" * 32768)]), 431),
        (scope(b"/", headers=[(b"host", b"a"), (b"host", b"b")]), 400),
    ],
)
def test_what_cannot_be_a_path_or_is_too_long_is_refused(made, status) -> None:
    with pytest.raises(Refusal) as caught:
        Request.parse(made, Limits())
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:0", Address("::1", 0)),
        (":8080", Address("127.0.0.1", 8080)),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535)),
    ],
)
def test_addresses_are_read(text, address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", "localhost", "a:b", "a:65536", "a:-1"])
def test_what_is_no_address_is_bad_input(text) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)


def test_only_loopback_is_loopback() -> None:
    assert all(Address(host, 1).is_loopback for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(Address(host, 1).is_loopback for host in ("0.0.0.0", "::", "192.168.0.1", "example.com"))


def test_pieces_grow_with_what_was_taken_and_shrink_with_company() -> None:
    limits = Limits()
    assert limits.piece_bytes(0, 1) == 32768
    assert limits.piece_bytes(65537, 1) == 65537
    assert limits.piece_bytes(1 << 30, 1) == 1048576
    assert limits.piece_bytes(1 << 30, 2000) == 32768


def test_the_hash_of_shards_is_that_of_the_slow_reference(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "reference")
    oracle = importlib.import_module("unixfs")
    for length in range(70):
        data = bytes((7 * at + length) % 256 for at in range(length))
        assert murmur3_x64_64(data) == oracle.murmur3_x64_64(data)
