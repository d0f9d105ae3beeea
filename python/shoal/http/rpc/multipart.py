"""Files in a request's body: multipart/form-data as Kubo's clients send it, read as it comes.

No more is in memory than a piece of the body and the headers of one part. Sources: RFC 2046 §5.1, RFC 7578; directories, links
and names as boxo's `files` package has them. A part within a part (multipart/mixed) is refused, as Kubo does today.
The one rule: a body that ends before its closing boundary is an error, never a short file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.http.limits import RpcLimits

__all__ = ["Multipart", "Part", "boundary_of", "parse_parameters"]

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER = re.compile(r';\s*([\w!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))\s*', re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HEADERS_MAX = 32


@dataclass
class Part:
    """One file, directory or link of a body."""

    names: tuple[str, ...]
    """Its path; empty where it has none."""
    kind: str
    """ "file", "directory" or "symlink"."""
    meta: dict[str, str]
    """`mode`, `mtime` and `mtime-nsecs`, where the client said them."""
    pieces: Iterator[bytes] = field(repr=False)

    def read(self, most: int, what: str) -> bytes:
        """All of it. Raises `Refusal` when it is more than `most` bytes."""
        found = bytearray()
        for piece in self.pieces:
            found += piece
            if len(found) > most:
                raise Refusal(400, f"{what} has at most {most} bytes")
        return bytes(found)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's Content-Type names. Raises `Refusal` where there is none."""
    media, _, rest = content_type.partition(";")
    if media.strip().lower() != "multipart/form-data":
        raise Refusal(400, "file argument 'path' is required: send files as multipart/form-data")
    boundary = parse_parameters(";" + rest).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise Refusal(400, "multipart/form-data needs a boundary of 1 to 70 plain characters")
    return boundary.encode("ascii")


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of a header, which begin with a semicolon. Stops at what is none."""
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.match(text, at):
        name, quoted, plain = match.groups()
        found.setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        at = match.end()
    return found


class Multipart:
    """A body, cut into its parts as they are asked for."""

    def __init__(self, pieces: Iterator[bytes], boundary: bytes, limits: RpcLimits) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary
        self._limits = limits
        # The first boundary may stand at the very beginning, without a line break before it.
        self._buffer = b"\r\n"
        self._is_in_part = False

    def parts(self) -> Iterator[Part]:
        """The parts. What was not read of one is passed over when the next is asked for."""
        passed = 0
        for piece in self._data():
            passed += len(piece)
            if passed > self._limits.preamble_bytes_max:
                raise Refusal(400, "the body does not begin with its boundary")
        while not self._is_closed():
            headers = self._headers()
            self._is_in_part = True
            yield self._part(headers)
            for _ in self._rest():
                pass

    def _part(self, headers: dict[str, str]) -> Part:
        disposition = headers.get("content-disposition", "")
        parameters = parse_parameters(";" + disposition.partition(";")[2])
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media.startswith("multipart/") and media != "multipart/form-data":
            raise Refusal(
                400, "no part of a body is a multipart itself: send each file as a part, with its path as its name"
            )
        kind = {
            "application/x-directory": "directory",
            "multipart/form-data": "directory",
            "application/symlink": "symlink",
        }
        _, _, query = parameters.get("name", "").partition("?")
        meta: dict[str, str] = {name: headers[name] for name in ("mode", "mtime", "mtime-nsecs") if name in headers}
        meta |= dict(parse_qsl(query)[:16])
        return Part(_names(parameters.get("filename", "")), kind.get(media, "file"), meta, self._rest())

    def _rest(self) -> Iterator[bytes]:
        if self._is_in_part:
            yield from self._data()
            self._is_in_part = False

    def _data(self) -> Iterator[bytes]:
        """What stands before the next boundary, which is taken away with it."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > keep:
                piece, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
                yield piece
            self._fill()
        piece, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
        # Known to be over before the last piece is handed out: whoever takes only that one has not left it open.
        self._is_in_part = False
        if piece:
            yield piece

    def _is_closed(self) -> bool:
        """Behind a boundary: whether it was the last."""
        while len(self._buffer) < 2:
            self._fill()
        if self._buffer.startswith(b"--"):
            return True
        line = self._line(256)
        if line.strip(b" \t"):
            raise Refusal(400, "a boundary is followed by something else than a line break")
        return False

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        left = self._limits.part_header_bytes_max
        while line := self._line(left):
            left -= len(line) + 2
            name, colon, value = line.partition(b":")
            if not colon or len(found) >= _HEADERS_MAX:
                raise Refusal(400, "a part of the body has headers that are none, or too many")
            found.setdefault(name.decode("latin-1").strip().lower(), value.decode("utf-8", "surrogateescape").strip())
        return found

    def _line(self, most: int) -> bytes:
        while (at := self._buffer.find(b"\r\n", 0, most + 2)) < 0:
            if len(self._buffer) >= most + 2:
                raise Refusal(400, "the headers of a part of the body are too long")
            self._fill()
        line, self._buffer = self._buffer[:at], self._buffer[at + 2 :]
        return line

    def _fill(self) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            raise Refusal(400, "unexpected EOF: the body ends before its closing boundary")
        self._buffer += piece


def _names(filename: str) -> tuple[str, ...]:
    """A path from the name that a client gave, which is percent-encoded unless that cannot be."""
    text = filename
    if not _BAD_ESCAPE.search(filename):
        text = unquote_plus(filename, errors="surrogateescape")
    names = tuple(name for name in text.split("/") if name not in {"", "."})
    if ".." in names or "\0" in text:
        raise Refusal(400, "a file's name does not lead upwards, and has no NUL in it")
    if len(names) > 128:
        raise Refusal(400, "a file's name has at most 128 directories in it")
    return names
