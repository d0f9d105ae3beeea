"""What goes over a node's socket: lines of JSON, one request and then answers until a last one. Pure.

A request is `{"shoal": 1, "verb": …, "arguments": {…}}`. An answer is `{"event": {…}}`, of which any number may come, and at the end
`{"result": …}` or `{"error": {"kind", "message", "exit_code"}}`. Who asks ends the request early by closing the connection.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from shoal import errors
from shoal.errors import InvalidInput, ShoalError

__all__ = [
    "LINE_BYTES_MAX",
    "PROTOCOL",
    "Answer",
    "Request",
    "answer_line",
    "parse_answer",
    "parse_request",
    "request_line",
]

PROTOCOL: Final = 1
"""Raised when an older program would misunderstand a newer one."""
LINE_BYTES_MAX: Final = 1 << 20
"""A line of either side: some thousands of peers, each with its protocols, come in one."""
_VERB_LETTERS_MAX: Final = 64


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    verb: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One line of the answer. `error` is raised by who asked."""

    kind: str
    """"event", "result" or "error"."""
    value: Any
    error: ShoalError | None = None


def request_line(request: Request) -> bytes:
    """A request as it is sent."""
    return _line({"shoal": PROTOCOL, "verb": request.verb, "arguments": request.arguments})


def parse_request(line: bytes) -> Request:
    """A request as it came. Raises `InvalidInput` for anything else, and for another version."""
    value = _object(line)
    if value.get("shoal") != PROTOCOL:
        raise InvalidInput(
            f"the node that runs speaks version {PROTOCOL} of this, and the command another one: end the node and start it again"
        )
    verb, arguments = value.get("verb"), value.get("arguments")
    if not isinstance(verb, str) or len(verb) > _VERB_LETTERS_MAX or not isinstance(arguments, dict):
        raise InvalidInput("not a request: it has a verb, and arguments by name")
    return Request(verb, arguments)


def answer_line(kind: str, value: Any) -> bytes:
    """An answer as it is sent; of an error, what of it can be told."""
    if isinstance(value, BaseException):
        code = getattr(value, "exit_code", 1)
        value = {"kind": type(value).__name__, "message": str(value), "exit_code": code if isinstance(code, int) else 1}
    return _line({kind: value})


def parse_answer(line: bytes) -> Answer:
    """An answer as it came. Raises `InvalidInput`."""
    value = _object(line)
    if len(value) != 1:
        raise InvalidInput("the node that runs answered something else than an answer: end it and start it again")
    ((kind, content),) = value.items()
    return Answer(kind, content, _error(content) if kind == "error" else None)


def _error(content: Any) -> ShoalError:
    fields = content if isinstance(content, dict) else {}
    known = getattr(errors, str(fields.get("kind")), None)
    kind = known if isinstance(known, type) and issubclass(known, ShoalError) else ShoalError
    code = fields.get("exit_code")
    error = kind(str(fields.get("message", "the node could not do it, and did not say why")))
    if kind is ShoalError and isinstance(code, int):
        # Of this one error, whose class is not known here.
        vars(error)["exit_code"] = code
    return error


def _line(value: dict[str, Any]) -> bytes:
    line = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE_BYTES_MAX:
        raise InvalidInput(f"more than {LINE_BYTES_MAX} bytes for one line between a command and its node")
    return line


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidInput("not a line of this protocol: it is one JSON object")
    return value
