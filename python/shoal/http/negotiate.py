"""Which form of the content is asked for: `?format=`, `Accept` and the parameters of a CAR, as a value. Pure.

Sources: the path and trustless gateway specifications, IPIP-402, -412 and -523 (`format` wins over `Accept`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MEDIA_TYPES", "CarForm", "Wanted", "negotiate"]

MEDIA_TYPES = {
    "raw": "application/vnd.ipld.raw",
    "car": "application/vnd.ipld.car",
    "tar": "application/x-tar",
    "dag-json": "application/vnd.ipld.dag-json",
    "dag-cbor": "application/vnd.ipld.dag-cbor",
    "json": "application/json",
    "cbor": "application/cbor",
    "ipns-record": "application/vnd.ipfs.ipns-record",
}
_FORMATS = {media: name for name, media in MEDIA_TYPES.items()}


@dataclass(frozen=True)
class CarForm:
    """What kind of CAR."""

    scope: str = "all"
    """"block", "entity" or "all": what is below the path's end."""
    entity: tuple[int, int | None] | None = None
    """First and last byte; negative from the end, None for the end."""
    duplicates: bool = False

    @property
    def media_type(self) -> str:
        """With the parameters that say what the CAR is like."""
        return f"{MEDIA_TYPES['car']}; version=1; order=dfs; dups={'y' if self.duplicates else 'n'}"


@dataclass(frozen=True)
class Wanted:
    """The form asked for."""

    format: str | None
    """A key of `MEDIA_TYPES`, or None for what the content itself is."""
    accepts_html: bool = False
    is_from_accept: bool = False
    """Whether the URL alone does not say it: caches are then told by `Content-Location`."""
    car: CarForm = field(default_factory=CarForm)


def negotiate(query: Mapping[str, str], accept: str) -> Wanted:
    """What the client wants. Raises `Refusal` 400 for what is no form at all, and 406 for a kind of CAR that is not made here."""
    offers = _accepted(accept)
    html = any(media == "text/html" for media, _ in offers)
    known = [(media, parameters) for media, parameters in offers if media in _FORMATS]
    media, parameters = known[0] if known else ("", {})
    named = query.get("format")
    if named:
        if named not in MEDIA_TYPES:
            raise Refusal(400, f"there is no such format; known are {', '.join(MEDIA_TYPES)}")
        if MEDIA_TYPES[named] != media:
            of_same = [found for found in known if found[0] == MEDIA_TYPES[named]]
            parameters = of_same[0][1] if of_same else {}
        is_elsewhere = bool(media) and MEDIA_TYPES[named] != media
        return Wanted(named, html, is_elsewhere, _car(query, parameters) if named == "car" else CarForm())
    form = _FORMATS.get(media)
    return Wanted(form, html, form is not None, _car(query, parameters) if form == "car" else CarForm())


def _accepted(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, the most wanted first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for offer in header.split(",")[:64]:
        media, *rest = (part.strip() for part in offer.split(";"))
        parameters = {
            key.strip().lower(): value.strip(' "') for key, _, value in (part.partition("=") for part in rest)
        }
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        if media and weight > 0:
            found.append((weight, media.lower(), parameters))
    found.sort(key=lambda offer: -offer[0])
    return [(media, parameters) for _, media, parameters in found]


def _car(query: Mapping[str, str], parameters: Mapping[str, str]) -> CarForm:
    version = query.get("car-version") or parameters.get("version") or "1"
    order = query.get("car-order") or parameters.get("order") or "dfs"
    duplicates = query.get("car-dups") or parameters.get("dups") or "n"
    if version != "1":
        raise Refusal(400, "CARs are given in version 1: leave out the version, or ask for 1")
    if order not in {"dfs", "unk"}:
        raise Refusal(406, "blocks are given in the order dfs: leave out the order, or ask for dfs")
    if duplicates not in {"y", "n"}:
        raise Refusal(400, "dups is y or n")
    scope = query.get("dag-scope") or ("entity" if "entity-bytes" in query else "all")
    if scope not in {"block", "entity", "all"}:
        raise Refusal(400, "dag-scope is block, entity or all")
    entity = _entity(query["entity-bytes"]) if "entity-bytes" in query else None
    if entity is not None and scope != "block":
        scope = "entity"
    return CarForm(scope, entity, duplicates == "y")


def _entity(text: str) -> tuple[int, int | None]:
    first, colon, last = text.partition(":")
    try:
        if not colon or max(len(first), len(last)) > 20:
            raise ValueError
        return _number(first), None if last == "*" else _number(last)
    except ValueError:
        raise Refusal(400, "entity-bytes is FROM:TO, two byte positions, where TO may be *") from None


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit():
        raise ValueError
    return int(text)
