"""Who may call: method, host, origin and token, in this order and before any body is read. Pure.

A page that a browser shows can send requests to this machine, and a name of its own can be made to mean 127.0.0.1. So neither
coming from loopback nor asking for it says who calls: the token does, and the other checks stand before it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shoal.http.limits import RpcLimits
from shoal.http.message import Refusal

if TYPE_CHECKING:
    from shoal.http.message import Request

__all__ = ["RpcRules", "admit", "cors_headers"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_EXPOSED = "X-Stream-Output, X-Chunked-Output, X-Content-Length"


@dataclass(frozen=True)
class RpcRules:
    """Who may call one RPC, and what it says of itself."""

    token: str = field(repr=False)
    """The secret that every call must carry: `Authorization: Bearer …`, or `Basic` with it as the password."""
    limits: RpcLimits = field(default_factory=RpcLimits)
    hosts: frozenset[str] = _LOOPBACK
    """Host names, without a port, that a request may be for."""
    origins: frozenset[str] = frozenset()
    """Web pages that may call, such as "http://localhost:3000"; they need the token as well."""
    version: str = "0.42.0"
    """What `version` answers: the Kubo whose habits these are. Some old clients look at it."""
    api_address: str = "/ip4/127.0.0.1/tcp/5001"
    """What `config` says: where this is served, as a multiaddr."""
    gateway_address: str = ""
    """And where the gateway is; empty for nowhere."""
    storage_bytes_max: int | None = None
    """What `repo/stat` says: the quota. None for the size of the disk."""


def admit(rules: RpcRules, request: Request) -> None:
    """Raises `Refusal` for whoever may not call. What is refused is answered the same whether it exists or not."""
    if request.host not in rules.hosts:
        raise Refusal(403, "403 - Forbidden: this RPC does not go by that host name")
    origin = _origin(request)
    if origin is not None and origin not in rules.origins:
        raise Refusal(403, "403 - Forbidden: pages of that origin may not call this RPC")
    if request.method == "OPTIONS":
        return
    if not _has_token(rules.token, request.headers.get("authorization", "")):
        raise Refusal(
            403,
            "403 - Forbidden: send the token in the file rpc-token of the store's folder, as Authorization: Bearer TOKEN",
        )


def cors_headers(rules: RpcRules, request: Request) -> dict[str, str]:
    """What a page of an allowed origin needs to read the answer."""
    origin = request.headers.get("origin")
    if origin is None or origin not in rules.origins:
        return {}
    headers = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }
    if request.method == "OPTIONS":
        headers |= {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Requested-With",
            "Access-Control-Max-Age": "600",
        }
    return headers


def _origin(request: Request) -> str | None:
    """Which page sent this; None where none did."""
    if "origin" in request.headers:
        return request.headers["origin"]
    if "referer" in request.headers:
        try:
            parts = urlsplit(request.headers["referer"])
        except ValueError:
            return "null"
        return f"{parts.scheme}://{parts.netloc}"
    # Every browser of today says where a request comes from, and every one calls itself this.
    if request.headers.get("sec-fetch-site", "none") != "none" or request.headers.get("user-agent", "").startswith(
        "Mozilla"
    ):
        return "null"
    return None


def _has_token(token: str, header: str) -> bool:
    kind, _, value = header.partition(" ")
    value = value.strip()
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(value.encode("utf-8", "replace"), token.encode())
