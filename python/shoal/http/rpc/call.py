"""One call of a verb: its arguments and options, parsed as Kubo spells and reads them, with bounds. Pure but for the body.

The one rule: what a client sent is read here, once; a verb gets values that cannot be wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from shoal import Path
from shoal.errors import Cancelled, InvalidInput
from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from shoal.http.limits import RpcLimits
    from shoal.http.rpc.guard import RpcRules
    from shoal.http.rpc.multipart import Part
    from shoal.store import Store

__all__ = ["Call", "CommandError"]

_TRUE = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{0,9})?)(ns|us|µs|ms|s|m|h)")
_SHOWN = 80


class CommandError(Exception):
    """A call that fails for a reason of its own: `{"Message", "Code", "Type": "error"}`."""

    def __init__(self, message: str, *, status: int = 500, code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Call:
    """A verb's arguments, options and body."""

    def __init__(self, store: Store, rules: RpcRules, query: str, parts: Callable[[], Iterator[Part]]) -> None:
        self.store = store
        self.rules = rules
        self.arguments: list[str] = []
        """The values of `arg`, in order."""
        self._options: dict[str, str] = {}
        self._parts = parts
        self.is_gone = False
        """Whether nobody waits for the answer any more."""
        self.stop: Callable[[], None] | None = None
        """Ends the server."""
        try:
            for key, value in parse_qsl(query, keep_blank_values=True, max_num_fields=rules.limits.query_fields_max):
                if key == "arg":
                    self.arguments.append(value)
                else:
                    self._options.setdefault(key, value)
        except ValueError:
            raise Refusal(400, f"the query has more than {rules.limits.query_fields_max} fields") from None

    @property
    def limits(self) -> RpcLimits:
        """What one call spends at most."""
        return self.rules.limits

    def check(self, *_: object) -> None:
        """Raises `Cancelled` once nobody waits for the answer; long calls of the store give it to `progress`."""
        if self.is_gone:
            raise Cancelled("the client has gone")

    # Arguments

    def argument(self, name: str) -> str:
        """The one argument; 400 where there is none."""
        return self.all_arguments(name)[0]

    def all_arguments(self, name: str) -> list[str]:
        """The arguments; 400 where there is none."""
        if not self.arguments:
            raise Refusal(400, f'argument "{name}" is required')
        return self.arguments

    def path(self, text: str) -> Path:
        """A path of content, as an argument says it. Raises `CommandError`."""
        if text.startswith(("/ipns/", "ipns://")):
            raise CommandError("not implemented yet: names under /ipns/ come with the node; give a path under /ipfs/")
        plain = text.removeprefix("/ipld/") if text.startswith("/ipld/") else text
        try:
            return Path.parse(plain.rstrip("/") if not plain.endswith("//") else plain)
        except InvalidInput as error:
            raise CommandError(f'invalid path "{text[:_SHOWN]}": {error}') from None

    # The body

    def parts(self) -> Iterator[Part]:
        """The files of the body, one after the other."""
        return self._parts()

    # Options

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self._options

    def flag(self, name: str, short: str = "", *, default: bool = False) -> bool:
        """A yes or no, as Go reads it."""
        value = self._value(name, short)
        if value is None:
            return default
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise _unconvertible(value, "bool", name)

    def integer(self, name: str, short: str = "", *, default: int, least: int, most: int, kind: str = "int") -> int:
        """A whole number between two bounds; `kind` is what Kubo calls it in its error."""
        value = self._value(name, short)
        if value is None:
            return default
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
            raise _unconvertible(value, kind, name)
        number = int(value)
        if not least <= number <= most:
            raise CommandError(f"{name} is a number from {least} to {most}")
        return number

    def text(self, name: str, short: str = "", *, default: str = "", known: Collection[str] = ()) -> str:
        """A text, one of `known` where there are any."""
        value = self._value(name, short)
        if value is None:
            return default
        if known and value not in known:
            raise CommandError(f"{name} is one of {', '.join(known)}")
        return value

    def seconds(self, name: str) -> float | None:
        """A duration as Go writes it: "30s", "1m30s"."""
        value = self._value(name, "")
        if value is None:
            return None
        found = _DURATION.findall(value)
        if not found or "".join(number + unit for number, unit in found) != value:
            raise Refusal(400, f"{name} is a duration such as 30s or 1m30s")
        return sum(float(number) * _SECONDS[unit] for number, unit in found)

    def refuse(self, reasons: dict[str, str]) -> None:
        """Raises `CommandError` where an option is asked for that is not done here: silence would be taken for a yes."""
        for name, reason in reasons.items():
            if self.has(name) and self._options[name] not in _FALSE:
                raise CommandError(f"{name} is not done here: {reason}")

    def _value(self, name: str, short: str) -> str | None:
        value = self._options.get(name)
        return self._options.get(short) if value is None and short else value


def _unconvertible(value: str, kind: str, name: str) -> Refusal:
    return Refusal(400, f'could not convert value "{value[:_SHOWN]}" to type "{kind}" (for option "-{name}")')
