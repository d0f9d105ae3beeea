"""The printing rules: what a result looks like on stdout, as lines for people or as JSON for programs.

Not here: progress (progress.py) and error messages (app.py).
The one rule: a stranger's bytes never reach a terminal unescaped, in either form.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shoal import CID

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_SHORT_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


def printable(text: str) -> str:
    """`text` with control, invisible and undecodable characters written as escapes, as `ipfs` writes names.

    A backslash is doubled only in a name that needs escapes or has one, so the result is unambiguous.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return r"\\"
    if character.isprintable():
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if 0xDC80 <= code <= 0xDCFF:
        # A byte of a file name that is not UTF-8, as `os.fsdecode` carries it.
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def printable_line(text: str) -> str:
    """A message with its unprintable characters escaped, line breaks and backslashes kept."""
    return "".join(part if part in "\n\\" or part.isprintable() else _escaped(part) for part in text)


def human_bytes(count: int) -> str:
    """`count` bytes to three digits, in powers of 1000 as disks and networks are sold: `1.07 GB`."""
    if count < 1000:
        return f"{count} B"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.3g} {units[0]}"


def plain(value: object) -> Any:
    """A result as JSON can carry it: dataclasses as objects, CIDs and paths as their text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def json_line(value: object) -> str:
    """One line of JSON, readable in any script, with whatever a terminal could obey as \\u escapes."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    if text.isprintable():
        return text
    # Outside strings JSON is printable ASCII, so an escape can only land inside a string, where it means the same.
    return _UNPRINTABLE.sub(lambda found: _json_escaped(found.group()), text)


def _json_escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns start below one another, one space apart; the last column is not padded."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [" ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]


class Above(Protocol):
    """Something drawn at the bottom of the terminal that lines must be printed above: the progress bar."""

    def print_above(self, line: str) -> None: ...


class Output:
    """Where a command's results go: lines, or JSON when `json` is set."""

    def __init__(self, *, json: bool = False, color: bool = False) -> None:
        self.json = json
        self.color = color
        self.above: Above | None = None

    def line(self, text: str) -> None:
        """Writes one line to stdout. What comes from strangers must have been through `printable`."""
        if self.above is not None and sys.stdout.isatty():
            self.above.print_above(text)
            return
        sys.stdout.write(text + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def result(self, value: object, *texts: str) -> None:
        """Writes `value` as one line of JSON, or else `texts` as lines."""
        if self.json:
            self.line(json_line(value))
        else:
            self.lines(texts)

    def styled(self, text: str, code: str) -> str:
        """`text` in the terminal style of that SGR code, or as it is where colours are off."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color else text


def cid_record(cid: CID, **more: object) -> dict[str, object]:
    """The usual JSON object of a command whose result is a CID."""
    return {"cid": str(cid), **more}
