"""DNSLink: from a domain to a path. What asks is a small class, so that a table, a file or real DNS can be behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DnsLink", "Resolver", "StaticLinks"]

_HOPS_MAX = 32
"""Domains that may point at one another: the specification's number."""


@dataclass(frozen=True)
class DnsLink:
    """Where a domain points."""

    path: str
    """"/ipfs/CID" or "/ipfs/CID/names"."""
    ttl_seconds: int | None = None
    """How long that may be kept; None where nobody knows."""


class Resolver(Protocol):
    """Answers for domains. Called in a thread: it may wait, but not longer than a request may."""

    def resolve(self, domain: str, /) -> DnsLink | None:
        """Where a domain points, or None. Lower case, without a dot at the end."""


class StaticLinks:
    """A table: domains, and the paths they stand for ("/ipfs/…", or "/ipns/DOMAIN" for another one's).

    >>> from shoal.http.dnslink import StaticLinks
    >>> StaticLinks({"docs.example.org": "/ipfs/bafkqaaa"}).resolve("docs.example.org").path
    '/ipfs/bafkqaaa'
    """

    def __init__(self, links: Mapping[str, str]) -> None:
        self._links = {domain.lower().rstrip("."): path for domain, path in links.items()}

    def resolve(self, domain: str, /) -> DnsLink | None:
        """Follows the table; None too where it goes round in a circle or out of the table."""
        rest: list[str] = []
        for _ in range(_HOPS_MAX):
            path = self._links.get(domain)
            if path is None:
                return None
            namespace, _, below = path.removeprefix("/").partition("/")
            if namespace == "ipfs":
                return DnsLink("/".join([path.rstrip("/"), *rest]))
            if namespace != "ipns":
                return None
            domain, _, tail = below.partition("/")
            if tail:
                rest.insert(0, tail)
        return None
