"""From a request to an answer, in plain blocking code: host, method, path, form. Runs in a thread; nothing here sends.

The one rule: nothing is written, nothing is fetched, and what is not served is refused with a line that says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shoal import CID
from shoal.errors import Damaged, InvalidCID, InvalidInput, NotADirectory, NotFound, ShoalError
from shoal.http import forms, listing, redirects, subdomain
from shoal.http.forms import Asked
from shoal.http.limits import Limits
from shoal.http.message import Answer, Refusal, Request, quoted
from shoal.http.negotiate import Wanted, negotiate
from shoal.http.target import Place, reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.http.dnslink import DnsLink, Resolver
    from shoal.http.subdomain import HostRule, Site
    from shoal.http.target import Target
    from shoal.store import Store

__all__ = ["Rules", "answer_to"]

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output",
}
_METHODS = "GET, HEAD, OPTIONS"


@dataclass(frozen=True)
class Rules:
    """What one gateway serves, to whom."""

    limits: Limits = field(default_factory=Limits)
    hostnames: Mapping[str, HostRule] = field(default_factory=lambda: dict(subdomain.LOCALHOST))
    any_host: bool = False
    """Whether names that were not set up are served too, by path."""
    trust_proxy: bool = False
    """Whether `X-Forwarded-Host` and `X-Forwarded-Proto` are believed."""
    trustless_only: bool = False
    """Whether only raw blocks and CARs are given: nothing is made here that the client cannot check."""
    dnslink: Resolver | None = None
    denied: frozenset[CID] = frozenset()
    """Roots that are answered with 410."""
    front: Mapping[str, CID] = field(default_factory=dict)
    """What the page at "/" lists: names and roots."""


def answer_to(store: Store, rules: Rules, request: Request) -> tuple[Answer, bytes]:
    """The answer, and the first bytes of a body that is read piece by piece. Whatever happens: errors become their status.

    Most bodies end with their first bytes; and what is missing there can still be said.
    """
    first = b""
    try:
        answer = _answer(store, rules, request)
        if not isinstance(answer.body, bytes) and request.method != "HEAD":
            first = answer.body.read(rules.limits.piece_bytes_min)
    except (Refusal, ShoalError, OSError, EOFError) as error:
        answer = Answer.refused(_refusal(error, request))
    if "Cross-Origin-Resource-Policy" not in answer.headers:
        answer.headers |= _CORS
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    return answer, first


def _refusal(error: Exception, request: Request) -> Refusal:
    match error:
        case Refusal():
            return error
        case NotFound() if request.is_only_if_cached:
            return Refusal(412, "it is not here, and nothing is fetched for only-if-cached")
        case NotFound() | NotADirectory():
            return Refusal(404, str(error))
        case InvalidInput():
            return Refusal(400, str(error))
        case Damaged():
            return Refusal(500, f"{error}: the owner of this gateway can repair it")
        case _:
            return Refusal(500, "the store cannot be read just now")


def _answer(store: Store, rules: Rules, request: Request) -> Answer:
    site = subdomain.parse_host(
        request.host,
        rules.hostnames,
        has_dnslink=rules.dnslink is not None and rules.dnslink.resolve(request.host) is not None,
        any_host=rules.any_host,
    )
    if request.method == "OPTIONS":
        return Answer(204, {"Allow": _METHODS})
    if request.method not in {"GET", "HEAD"}:
        raise Refusal(405, "this gateway only gives: use GET or HEAD", {"Allow": _METHODS})
    wanted = negotiate(request.query, request.headers.get("accept", ""))
    if site.kind in {"path", "gateway"}:
        return _by_path(store, rules, request, site, wanted)
    if request.headers.get("service-worker") == "script" and not request.names:
        raise Refusal(400, "a service worker is not given for a root itself")
    place, root, before = _isolated(rules, request, site)
    return _content(store, rules, request, wanted, place, root, before, request.names)


def _by_path(store: Store, rules: Rules, request: Request, site: Site, wanted: Wanted) -> Answer:
    if not request.names:
        return _front(rules)
    namespace, *rest = request.names
    if namespace not in {"ipfs", "ipns"}:
        raise Refusal(404, "what is served stands under /ipfs/ and /ipns/")
    if not rest:
        if "uri" in request.query:
            return _from_uri(request)
        raise Refusal(400, f"there is nothing at /{namespace}/ itself: add a CID")
    if request.headers.get("service-worker") == "script" and len(rest) == 1 and not request.ends_in_slash:
        raise Refusal(400, "a service worker is not given for a whole namespace: navigate to a path below a root")
    root_text, names = rest[0], tuple(rest[1:])
    try:
        place, root, before = _named(rules, namespace, root_text)
    except InvalidCID as error:
        written = quoted(request.names)
        raise Refusal(400, f'invalid path "{written}": {error}') from None
    if site.kind == "gateway" and wanted.format not in {"raw", "car"}:
        return _to_subdomain(request, site, namespace, root_text, root, names)
    return _content(store, rules, request, wanted, place, root, before, names)


def _named(rules: Rules, namespace: str, text: str) -> tuple[Place, CID, tuple[str, ...]]:
    base = f"/{namespace}{quoted((text,))}"
    if namespace == "ipfs":
        root = CID(text)
        return Place("ipfs", text, base), root, ()
    found = _linked(rules, text)
    if found is None:
        raise Refusal(
            404, "no such name is known here: this gateway resolves DNSLinks that it was given, and no IPNS keys yet"
        )
    path, link = found
    return Place("ipns", text.lower(), base, ttl_seconds=link.ttl_seconds), path[0], path[1]


def _linked(rules: Rules, domain: str) -> tuple[tuple[CID, tuple[str, ...]], DnsLink] | None:
    link = rules.dnslink.resolve(domain.lower().rstrip(".")) if rules.dnslink is not None else None
    if link is None:
        return None
    parts = link.path.strip("/").split("/")
    return (CID(parts[1]), tuple(parts[2:])), link


def _isolated(rules: Rules, request: Request, site: Site) -> tuple[Place, CID, tuple[str, ...]]:
    """The root that has this origin to itself."""
    port = request.authority[len(request.host) :]
    gateway = f"//{site.gateway}{port}" if site.gateway else None
    if site.namespace == "ipfs":
        root = subdomain.parse_label(site.name)
        link = f"{gateway}/ipfs/{site.name}"
        return Place("ipfs", site.name, "", is_isolated=True, root_link=link, gateway=gateway), root, ()
    domain = site.name
    found = _linked(rules, domain)
    if found is None and site.namespace == "ipns" and "." not in domain:
        domain = subdomain.uninlined(domain)
        found = _linked(rules, domain)
    if found is None:
        raise Refusal(
            404, "no such name is known here: this gateway resolves DNSLinks that it was given, and no IPNS keys yet"
        )
    path, dns = found
    link = f"{gateway}/ipns/{domain}" if gateway else f"//{request.authority}/"
    place = Place("ipns", domain, "", is_isolated=True, root_link=link, gateway=gateway, ttl_seconds=dns.ttl_seconds)
    return place, path[0], path[1]


def _to_subdomain(
    request: Request, site: Site, namespace: str, root_text: str, root: CID, names: tuple[str, ...]
) -> Answer:
    """301 to the origin that this root has to itself."""
    if namespace == "ipfs":
        label = subdomain.label_of(root)
    else:
        label = subdomain.inlined(root_text.lower()) if site.rule.inline_dnslink else root_text.lower()
        if len(label) > 63 and "." not in label:
            raise Refusal(400, "the name is incompatible with DNS label length limit of 63")
    query = f"?{request.query_text}" if request.query_text else ""
    # An origin's top has its slash whatever the client wrote.
    path = quoted(names, slash=request.ends_in_slash or not names)
    location = f"{request.scheme}://{label}.{namespace}.{request.authority}{path}{query}"
    if not location.isascii() or not location.isprintable() or " " in location:
        raise Refusal(400, "the query is not printable: quote it")
    return Answer(301, {"Location": location})


def _from_uri(request: Request) -> Answer:
    """What browsers send for `ipfs://` links, where this gateway was registered for them."""
    uri = urlsplit(request.query["uri"])
    if uri.scheme not in {"ipfs", "ipns"} or not uri.netloc:
        raise Refusal(400, "uri is ipfs://CID/… or ipns://NAME/…")
    names = tuple(part for part in uri.path.split("/") if part)
    return Answer(301, {"Location": f"/{uri.scheme}{quoted((uri.netloc, *names), slash=uri.path.endswith('/'))}"})


def _content(
    store: Store,
    rules: Rules,
    request: Request,
    wanted: Wanted,
    place: Place,
    root: CID,
    before: tuple[str, ...],
    names: tuple[str, ...],
) -> Answer:
    if rules.trustless_only and wanted.format not in {"raw", "car"}:
        raise Refusal(
            406 if wanted.format else 400,
            "this gateway gives only what the client can check: ask for ?format=raw or ?format=car",
        )
    if root in rules.denied:
        raise Refusal(410, "this gateway does not serve that root")
    if request.is_only_if_cached and not store.has(root):
        raise NotFound("it is not here")
    try:
        target = reach(store, place, root, before, names)
    except (NotFound, Refusal) as error:
        if isinstance(error, Refusal) and error.status != 404:
            raise
        redirected = (
            _redirected(store, rules, request, place, root, before, names)
            if place.is_isolated and wanted.format is None
            else None
        )
        if redirected is None:
            raise
        return redirected
    if not rules.denied.isdisjoint(target.roots):
        raise Refusal(410, "this gateway does not serve that root")
    return forms.answer(Asked(store, rules.limits, request, wanted, target))


def _redirected(
    store: Store,
    rules: Rules,
    request: Request,
    place: Place,
    root: CID,
    before: tuple[str, ...],
    names: tuple[str, ...],
) -> Answer | None:
    """What the site's `_redirects` says of a path that is not there; None where it says nothing."""
    limits = rules.limits
    try:
        entry = store.stat_path(reach(store, place, root, before, ("_redirects",)).end)
    except (NotFound, Refusal):
        return None
    if entry.kind != "file":
        return None
    try:
        if (entry.size or 0) > limits.redirects_bytes_max:
            raise redirects.BadRedirects(
                f"could not parse _redirects: redirects file size cannot exceed {limits.redirects_bytes_max} bytes"
            )
        rules_found = redirects.parse(store.read(entry.cid), limits.redirects_rules_max)
    except redirects.BadRedirects as error:
        raise Refusal(500, str(error)) from None
    found = redirects.find(rules_found, names, request.query_text)
    if found is None:
        return None
    to, status = found
    if status in {301, 302, 303, 307, 308}:
        return Answer(status, {"Location": to})
    return _rewritten(store, rules, request, place, root, before, to, status)


def _rewritten(
    store: Store, rules: Rules, request: Request, place: Place, root: CID, before: tuple[str, ...], to: str, status: int
) -> Answer:
    """Another file of the site in the place of the one that is not there, under its URL."""
    inner = Request.parse(
        {
            "raw_path": urlsplit(to).path.encode(),
            "path": "",
            "headers": [],
            "method": request.method,
            "query_string": b"",
        },
        rules.limits,
    )
    target: Target = reach(store, place, root, before, inner.names)
    asked = Asked(store, rules.limits, request, Wanted(None), target)
    entry = store.stat_path(target.end)
    if entry.kind != "file":
        raise Refusal(500, "a rule of _redirects leads to what is no file")
    return forms.file_answer(asked, status=status)


def _front(rules: Rules) -> Answer:
    """The page at "/": what is served by name."""
    page = listing.front_page(rules.front).encode("utf-8", "replace")
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Length": str(len(page)),
        "Content-Security-Policy": listing.CSP,
        "Cache-Control": "no-store",
        # What is here is nobody else's business, unlike what a hash names.
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Answer(200, headers, page)
