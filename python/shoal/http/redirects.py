"""The `_redirects` file: rules for paths that are not there. A parser and a matcher, pure and bounded.

Source: <https://specs.ipfs.tech/http-gateways/web-redirects-file/>.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

__all__ = ["BadRedirects", "Rule", "find", "parse"]

_STATUSES = {200, 301, 302, 303, 307, 308, 404, 410, 451}
_NAMES_MAX = 64


class BadRedirects(ValueError):
    """The file is not what the specification says. The message has the line."""


@dataclass(frozen=True)
class Rule:
    """One line."""

    segments: tuple[str, ...]
    has_splat: bool
    to: str
    status: int


def parse(data: bytes, rules_max: int) -> list[Rule]:
    """The rules of a file, in order. Raises `BadRedirects`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRedirects("could not parse _redirects: it is not UTF-8") from None
    rules: list[Rule] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(rules) >= rules_max:
            raise BadRedirects(f"could not parse _redirects: more than {rules_max} rules")
        try:
            rules.append(_rule(words))
        except ValueError as error:
            raise BadRedirects(f"could not parse _redirects: line {number}: {error}") from None
    return rules


def _rule(words: list[str]) -> Rule:
    if len(words) not in {2, 3}:
        raise ValueError("a rule is: from to [status]")
    origin, to = words[:2]
    status = 301
    if len(words) == 3:
        if not (words[2].isascii() and words[2].isdigit() and len(words[2]) == 3):
            raise ValueError("a status has three digits, and nothing may force a rule")
        status = int(words[2])
        if status not in _STATUSES:
            raise ValueError("unsupported redirect status")
    if not origin.startswith("/"):
        raise ValueError("'from' begins with /")
    if not to.startswith("/") and (urlsplit(to).scheme not in {"http", "https", "ipfs", "ipns"}):
        raise ValueError("'to' is a path, or a URL of http, https, ipfs or ipns")
    if to.startswith("//") or any(ord(character) < 33 or ord(character) == 127 for character in to):
        raise ValueError("'to' is no path and no URL")
    segments = tuple(origin.strip("/").split("/")) if origin.strip("/") else ()
    if len(segments) > _NAMES_MAX:
        raise ValueError("'from' has too many names")
    has_splat = bool(segments) and segments[-1] == "*"
    if has_splat:
        segments = segments[:-1]
    if any("*" in segment for segment in segments):
        raise ValueError("* stands at the end only")
    placeholders = [segment for segment in segments if segment.startswith(":")]
    if len(placeholders) != len(set(placeholders)):
        raise ValueError("a placeholder stands twice in 'from'")
    return Rule(segments, has_splat, to, status)


def find(rules: list[Rule], names: tuple[str, ...], query: str) -> tuple[str, int] | None:
    """Where the first rule that fits leads: a path or URL, safe in a header, and the status. `names` are decoded."""
    for rule in rules:
        values = _match(rule, names)
        if values is not None:
            return _filled(rule.to, values, query), rule.status
    return None


def _match(rule: Rule, names: tuple[str, ...]) -> dict[str, str] | None:
    if len(names) < len(rule.segments) or (not rule.has_splat and len(names) != len(rule.segments)):
        return None
    values: dict[str, str] = {}
    for segment, name in zip(rule.segments, names, strict=False):
        if segment.startswith(":"):
            values[segment] = _quoted(name)
        elif segment != name:
            return None
    values[":splat"] = "/".join(_quoted(name) for name in names[len(rule.segments) :])
    return values


def _quoted(name: str) -> str:
    return quote(name.encode("utf-8", "surrogateescape"), safe="")


def _filled(to: str, values: dict[str, str], query: str) -> str:
    # Longest first, so that :month is not read as :mon with a tail.
    for key in sorted(values, key=len, reverse=True):
        to = to.replace(key, values[key])
    # What was written in the file itself may hold anything but spaces and controls.
    to = quote(to, safe="/%:?#[]@!$&'()*+,;=~")
    if not query:
        return to
    parts = urlsplit(to)
    own = parse_qsl(query, keep_blank_values=True, max_num_fields=64)
    given = {key for key, _ in own}
    fixed = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in given]
    return urlunsplit(parts._replace(query=urlencode(sorted([*fixed, *own]))))
