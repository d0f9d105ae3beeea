"""Answers in Kubo's forms: one JSON value, a stream of them (NDJSON), plain bytes, and errors. Values; nothing here sends."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from shoal.errors import Cancelled, InvalidInput, NotFound, ShoalError
from shoal.http.body import FileBody
from shoal.http.message import Answer, Refusal
from shoal.http.rpc.call import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal import CID
    from shoal.http.body import Body
    from shoal.http.limits import RpcLimits
    from shoal.store import Store

    Record = dict[str, Any]
    Emit = Callable[[Record], None]

__all__ = ["FilesBody", "Pushed", "Records", "failed", "json_bytes", "message_of", "records", "stream", "value"]

_JSON = {"Content-Type": "application/json"}
# What Go's encoder writes, so that JSON can stand in a page.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def json_bytes(record: Any) -> bytes:
    """A value as a line, as Go's encoder writes it: keys in their order, no spaces, U+FFFD for what is no text."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode() + b"\n"


def value(record: Any) -> Answer:
    """One JSON value."""
    return Answer(200, dict(_JSON), json_bytes(record))


def records(found: Iterator[Record], limits: RpcLimits) -> Answer:
    """A stream of JSON values, one a line."""
    return Answer(200, _JSON | {"X-Chunked-Output": "1"}, Records(found, limits))


def stream(body: Body, media_type: str, length: int | None = None) -> Answer:
    """Plain bytes. Their number is told in Kubo's header: HTTP's own would be wrong for an answer that fails midway."""
    headers = {"Content-Type": media_type, "X-Stream-Output": "1"}
    if length is not None:
        headers["X-Content-Length"] = str(length)
    return Answer(200, headers, body)


class Records:
    """A body of records, gathered to pieces; the first of a piece does not wait long for the others."""

    length: int | None = None

    def __init__(self, found: Iterator[Record], limits: RpcLimits) -> None:
        self._found = found
        self._limits = limits

    def read(self, _most: int, /) -> bytes:
        piece = bytearray()
        until = 0.0
        for record in self._found:
            piece += json_bytes(record)
            now = time.monotonic()
            until = until or now + self._limits.records_seconds
            if len(piece) >= self._limits.records_bytes or now >= until:
                break
        return bytes(piece)


class Pushed:
    """A body that a function writes record by record while it reads the request's: it has a thread of its own for as long."""

    length: int | None = None

    def __init__(self, work: Callable[[Emit], None]) -> None:
        self.work = work

    def read(self, _most: int, /) -> bytes:
        raise NotImplementedError("it is pushed, not read")


class FilesBody:
    """Parts of files, one after the other."""

    length: int | None = None

    def __init__(self, store: Store, spans: list[tuple[CID, int, int]]) -> None:
        self._bodies = [FileBody(store, cid, [(start, stop)]) for cid, start, stop in reversed(spans) if stop > start]

    def read(self, most: int, /) -> bytes:
        while self._bodies:
            if piece := self._bodies[-1].read(most):
                return piece
            self._bodies.pop()
        return b""


def failed(error: Exception, store: Store | None) -> Answer:
    """An error as Kubo tells it: what is wrong with the request as a line of text, what is wrong with the call as an object."""
    if isinstance(error, Refusal):
        return Answer.refused(error)
    status = error.status if isinstance(error, CommandError) else 500
    code = error.code if isinstance(error, CommandError) else 0
    body = json_bytes({"Message": message_of(error, store), "Code": code, "Type": "error"})
    return Answer(status, dict(_JSON), body)


def message_of(error: Exception, store: Store | None) -> str:
    """What an error says. Of a block that is not here Kubo's words are used, which clients look for."""
    match error:
        case NotFound(cid=cid) if cid is not None and store is not None and not _has(store, cid):
            return f"block was not found locally (offline): ipld: could not find {cid}"
        case CommandError() | Refusal():
            return str(error)
        case Cancelled():
            return "context canceled"
        case ShoalError():
            return error.message
        case EOFError():
            return "unexpected EOF"
        case _:
            return "the store cannot do it just now"


def _has(store: Store, cid: CID) -> bool:
    try:
        return store.has(cid)
    except InvalidInput:
        return True
    except ShoalError:
        return False
