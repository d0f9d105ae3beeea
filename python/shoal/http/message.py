"""A request taken apart, and an answer before it is sent: plain values, so that all that decides can be tested without a server.

The one rule: what a stranger sent is bounded and decoded here, once; nothing else reads an ASGI scope.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.http.body import Body
    from shoal.http.limits import Limits

__all__ = ["Answer", "Refusal", "Request", "quoted"]


class Refusal(Exception):
    """A request that ends with an error: a status, and a line that says why and what to do."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass
class Answer:
    """A status, headers, and a body: bytes, or something that is read piece by piece."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Body = b""

    @staticmethod
    def refused(refusal: Refusal) -> Answer:
        """An error as a page of plain text."""
        text = refusal.message.encode("utf-8", "replace") + b"\n"
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **refusal.headers}
        return Answer(refusal.status, headers, text)


@dataclass(frozen=True)
class Request:
    """What was asked, decoded."""

    method: str
    host: str
    """Without the port, lower case; the `Host` header, or `X-Forwarded-Host` where a proxy is trusted."""
    authority: str
    """The same with its port."""
    scheme: str
    names: tuple[str, ...]
    """The path's names, decoded one by one; empty ones left out. Not UTF-8: as `os.fsdecode` makes it."""
    ends_in_slash: bool
    query: dict[str, str]
    """The first value of each key."""
    query_text: str
    headers: dict[str, str]
    """By lower-case name; repeated ones joined by commas."""

    @staticmethod
    def parse(scope: Mapping[str, Any], limits: Limits, *, trust_proxy: bool = False) -> Request:
        """Reads an ASGI scope. Raises `Refusal` for what is too long or cannot be a path below a CID."""
        raw_path = (scope.get("raw_path") or quote(scope["path"], safe="/%").encode()).split(b"?", 1)[0]
        raw_query: bytes = scope.get("query_string", b"")
        if len(raw_path) + len(raw_query) > limits.path_bytes_max:
            raise Refusal(414, f"the path is longer than {limits.path_bytes_max} bytes")
        headers: dict[str, str] = {}
        length = 0
        hosts = 0
        for key, value in scope["headers"]:
            length += len(key) + len(value)
            name = key.decode("latin-1").lower()
            hosts += name == "host"
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        if length > limits.header_bytes_max:
            raise Refusal(431, f"the headers are longer than {limits.header_bytes_max} bytes")
        if hosts > 1:
            raise Refusal(400, "there is more than one Host")
        authority, scheme = headers.get("host", ""), str(scope.get("scheme", "http"))
        if trust_proxy:
            authority = headers.get("x-forwarded-host", authority)
            scheme = headers.get("x-forwarded-proto", scheme)
        if scheme not in {"http", "https"}:
            raise Refusal(400, "X-Forwarded-Proto is http or https")
        authority = authority.lower()
        parts = raw_path.split(b"/")
        names = tuple(_name(part) for part in parts if part)
        if len(names) > limits.names_max:
            raise Refusal(414, f"the path has more than {limits.names_max} names")
        query_text = raw_query.decode("latin-1")
        query: dict[str, str] = {}
        try:
            for key, value in parse_qsl(query_text, keep_blank_values=True, max_num_fields=limits.query_fields_max):
                query.setdefault(key, value)
        except ValueError:
            raise Refusal(400, f"the query has more than {limits.query_fields_max} fields") from None
        return Request(
            method=scope["method"],
            host=_without_port(authority),
            authority=authority,
            scheme=scheme,
            names=names,
            ends_in_slash=raw_path.endswith(b"/"),
            query=query,
            query_text=query_text,
            headers=headers,
        )

    @property
    def is_only_if_cached(self) -> bool:
        """Whether the client wants nothing to be fetched for it."""
        return "only-if-cached" in self.headers.get("cache-control", "").lower()


def _name(part: bytes) -> str:
    decoded = unquote_to_bytes(part)
    if b"/" in decoded or b"\0" in decoded:
        raise Refusal(400, "no name in a path has a slash or a NUL in it")
    if decoded in {b".", b".."}:
        raise Refusal(400, "'.' and '..' mean nothing below a CID: a path there only goes down")
    return os.fsdecode(decoded)


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def quoted(names: tuple[str, ...] | list[str], *, slash: bool = False) -> str:
    """Names as a path of a URL, beginning with "/": safe in a header and in an attribute."""
    path = "".join("/" + quote(os.fsencode(name), safe="!$()*+,:;=@") for name in names)
    return path + "/" if slash else path
