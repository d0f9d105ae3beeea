"""`Content-Disposition` (RFC 6266, 8187), pure: whatever the name, the header is one line of ASCII."""

from __future__ import annotations

import re
from urllib.parse import quote

__all__ = ["disposition"]

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/]')
_NAME_CHARACTERS_MAX = 255


def disposition(kind: str, name: str = "") -> str:
    """`kind` is "inline" or "attachment". What no file should be called is replaced by "_"."""
    safe = _UNSAFE.sub("_", name[:_NAME_CHARACTERS_MAX])
    if not safe:
        return kind
    ascii_name = "".join(character if " " <= character <= "~" else "_" for character in safe)
    text = f'{kind}; filename="{ascii_name}"'
    if ascii_name != safe:
        text += f"; filename*=UTF-8''{quote(safe.encode('utf-8', 'replace'), safe='')}"
    return text
