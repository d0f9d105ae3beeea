"""Names of answers for caches (RFC 9110 §8.8, §13), pure. An answer below a CID never changes, so its name is made of the CID."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.http.negotiate import CarForm

__all__ = ["FOREVER", "LISTING_CACHE", "car_etag", "is_range_allowed", "listing_etag", "matches", "plain_etag"]

FOREVER = "public, max-age=29030400, immutable"
"""What the specification has for all that a CID alone decides: 48 weeks."""
LISTING_CACHE = "public, max-age=604800, stale-while-revalidate=2678400"
"""A page made here may look different in the next version: a week, as with Kubo."""


def plain_etag(cid: object, suffix: str = "") -> str:
    """Of a file, or of another form of it."""
    return f'"{cid}{"." + suffix if suffix else ""}"'


def listing_etag(cid: object, template: str) -> str:
    """Of a directory's page, which depends on the template too."""
    return f'"DirIndex-{hashlib.blake2b(template.encode(), digest_size=8).hexdigest()}_CID-{cid}"'


def car_etag(path: str, cid: object, form: CarForm) -> str:
    """Of a CAR: the same path and form give the same bytes, while all blocks are here; weak, since a cut one has the name too."""
    digest = hashlib.blake2b(repr((path, form)).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return f'W/"{cid}.car.{digest}"'


def matches(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names the answer: the weak comparison."""
    if header is None:
        return False
    plain = etag.removeprefix("W/")
    return any(text == "*" or text.removeprefix("W/") == plain for text in (part.strip() for part in header.split(",")))


def is_range_allowed(if_range: str | None, etag: str) -> bool:
    """Whether `If-Range` lets a range be sent: the strong comparison. A date never does, for no answer has one."""
    return if_range is None or (if_range.strip() == etag and not etag.startswith("W/"))
