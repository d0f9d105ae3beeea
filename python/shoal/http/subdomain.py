"""What a `Host` means: this gateway, an origin of its own for one root, a site with DNSLink, or nobody we know. Pure.

The one rule: a name that was not set up is refused, so that a page elsewhere cannot point its own name at a gateway on loopback
and read it as its own origin (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shoal import CID
from shoal.errors import InvalidCID
from shoal.http.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOCALHOST", "HostRule", "Site", "inlined", "label_of", "parse_host", "parse_label", "uninlined"]

_LABEL_MAX = 63
"""Characters between two dots of a host name: RFC 1034."""
_LIBP2P_KEY = 0x72


@dataclass(frozen=True)
class HostRule:
    """How a host name is served."""

    subdomains: bool = True
    """Whether each root has an origin of its own, as `CID.ipfs.NAME`, to which paths are redirected."""
    inline_dnslink: bool = True
    """Whether the dots of names under `.ipns.` are written as dashes, so that one certificate covers them all."""


LOCALHOST: Mapping[str, HostRule] = {"localhost": HostRule()}
"""What is known unless more is said. Browsers take every name under localhost for this machine."""


@dataclass(frozen=True)
class Site:
    """What a host is."""

    kind: Literal["path", "gateway", "subdomain", "dnslink"]
    name: str = ""
    """The root of a subdomain, or the domain of a DNSLink site."""
    namespace: str = ""
    """"ipfs" or "ipns", of a subdomain."""
    gateway: str = ""
    """The host name of the gateway above a subdomain."""
    rule: HostRule = HostRule()


def parse_host(host: str, known: Mapping[str, HostRule], *, has_dnslink: bool, any_host: bool) -> Site:
    """The site of a host without its port. Raises `Refusal` 421 for one that nobody set up."""
    if host in known:
        return Site("gateway" if known[host].subdomains else "path", gateway=host, rule=known[host])
    for name, rule in known.items():
        if rule.subdomains and host.endswith("." + name):
            above = host[: -len(name) - 1]
            root, _, namespace = above.rpartition(".")
            if root and namespace in {"ipfs", "ipns"}:
                return Site("subdomain", root, namespace, name, rule)
    if has_dnslink:
        return Site("dnslink", host)
    if any_host or not host or _is_address(host):
        return Site("path")
    raise Refusal(421, "this gateway has no such name: start it with --hostname, or use its address")


def label_of(cid: CID) -> str:
    """A root's text as one label of a host name: lower case, at most 63 characters. Raises `Refusal` for a CID that has none."""
    version1 = cid.to_v1()
    base = "base36" if version1.codec_code == _LIBP2P_KEY else "base32"
    for tried in (base, "base36"):
        text = version1.encode(tried)
        if len(text) <= _LABEL_MAX:
            return text
    raise Refusal(400, "CID incompatible with DNS label length limit of 63: use it in a path at the gateway's address")


def parse_label(label: str) -> CID:
    """The root of a subdomain. Raises `Refusal`."""
    if len(label) > _LABEL_MAX:
        raise Refusal(
            400, "CID incompatible with DNS label length limit of 63: use it in a path at the gateway's address"
        )
    try:
        return CID(label)
    except InvalidCID as error:
        raise Refusal(400, f"what is before .ipfs. is no CID: {error}") from None


def inlined(name: str) -> str:
    """A domain as one label: "-" becomes "--", "." becomes "-"."""
    return name.replace("-", "--").replace(".", "-")


def uninlined(label: str) -> str:
    """The domain that such a label means."""
    return label.replace("--", "\0").replace("-", ".").replace("\0", "-")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
