"""The `Range` header (RFC 9110 §14), pure: text and a size in, byte ranges out."""

from __future__ import annotations

import re

__all__ = ["Unsatisfiable", "parse_ranges"]

_SPEC = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})", re.ASCII)


class Unsatisfiable(ValueError):
    """No range of the header lies in the file."""


def parse_ranges(header: str | None, size: int, ranges_max: int) -> list[tuple[int, int]] | None:
    """Ranges as pairs of first byte and the one behind the last, in the order asked; None where the whole file is to be sent.

    That is: without the header, with another unit, with one that is malformed, with more ranges than `ranges_max`, and with ranges
    that together are more than the file, which nobody asks for in good faith.
    Raises `Unsatisfiable` where none of them begins within the file.
    """
    if header is None:
        return None
    unit, equals, specs = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals or specs.count(",") >= ranges_max:
        return None
    found: list[tuple[int, int]] = []
    for spec in specs.split(","):
        if not (text := spec.strip()):
            continue
        match = _SPEC.fullmatch(text)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            start, stop = max(0, size - int(suffix)), size
        else:
            start, stop = int(first), size if last is None else min(size, int(last) + 1)
            if last is not None and int(last) < start:
                return None
        if start < stop:
            found.append((start, stop))
    if not found:
        raise Unsatisfiable("no range of these lies within the file")
    if len(found) > 1 and sum(stop - start for start, stop in found) > size:
        return None
    return found
