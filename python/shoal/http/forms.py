"""One function for each form of an answer: raw block, CAR, tar, file, directory, object. They read the store and send nothing.

The one rule: an answer's headers are decided before its body is read, so that HEAD costs what HEAD says.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from shoal import Path, dag_decode, dag_encode
from shoal.errors import InvalidInput, NotADirectory, NotFound
from shoal.http import car, etag, listing, media, tar
from shoal.http.body import BufferBody, FileBody
from shoal.http.disposition import disposition
from shoal.http.message import Answer, Refusal, quoted
from shoal.http.negotiate import MEDIA_TYPES
from shoal.http.ranges import Unsatisfiable, parse_ranges

if TYPE_CHECKING:
    from shoal.http.limits import Limits
    from shoal.http.message import Request
    from shoal.http.negotiate import Wanted
    from shoal.http.target import Target
    from shoal.store import Store

__all__ = ["Asked", "answer", "file_answer"]

_RAW, _DAG_PB = 0x55, 0x70
_OBJECTS = {0x0200: "json", 0x51: "cbor", 0x0129: "dag-json", 0x71: "dag-cbor"}
"""Codecs that are served as they are, by number."""
_ALSO = {"json": {"json", "dag-json"}, "cbor": {"cbor", "dag-cbor"}}
"""dag-json is JSON and dag-cbor is CBOR: a client that knows only these may have the block as such."""
_INLINE = {"json", "dag-json"}
_PREVIEW_BYTES_MAX = 65536
_BLOCK_BYTES_MAX = 2 * 1024 * 1024


@dataclass(frozen=True)
class Asked:
    """A request with what it came to."""

    store: Store
    limits: Limits
    request: Request
    wanted: Wanted
    target: Target

    def headers(self, tag: str, kind: str, *, cache: str = etag.FOREVER) -> dict[str, str]:
        """What every good answer carries."""
        place = self.target.place
        headers = {"Content-Type": kind, "Etag": tag, "X-Ipfs-Path": self.path, "X-Ipfs-Roots": self.roots}
        if place.namespace == "ipfs":
            headers["Cache-Control"] = cache
        elif place.ttl_seconds is not None:
            headers["Cache-Control"] = f"public, max-age={place.ttl_seconds}"
        if self.wanted.is_from_accept and self.wanted.format is not None:
            headers["Content-Location"] = self._location(self.wanted.format)
        return headers

    @property
    def path(self) -> str:
        return self.target.path + ("/" if self.request.ends_in_slash and self.target.names else "")

    @property
    def roots(self) -> str:
        # The longest that proxies take: a deep path names its end at least.
        text = ",".join(map(str, self.target.roots[len(self.target.before) :]))
        return text if len(text) <= 8192 else str(self.target.end)

    def _location(self, form: str) -> str:
        here = self.target.place.base + quoted(self.target.names, slash=self.request.ends_in_slash) or "/"
        kept = [part for part in self.request.query_text.split("&") if part and not part.startswith("format=")]
        safe = [part for part in kept if part.isascii() and part.isprintable()]
        return f"{here}?{'&'.join([f'format={form}', *safe])}"

    def disposition(self, kind: str, name: str) -> str:
        """As the client would have it: `?filename=` and `?download=true`."""
        if self.request.query.get("download") == "true":
            kind = "attachment"
        return disposition(kind, self.request.query.get("filename") or name)

    def unchanged(self, headers: dict[str, str]) -> Answer | None:
        """304, where the client has it already."""
        if not etag.matches(self.request.headers.get("if-none-match"), headers["Etag"]):
            return None
        kept = ("Etag", "Cache-Control", "X-Ipfs-Path", "X-Ipfs-Roots", "Content-Location")
        return Answer(304, {name: headers[name] for name in kept if name in headers})


def answer(asked: Asked) -> Answer:
    """The answer to what was asked."""
    match asked.wanted.format:
        case "raw":
            return _raw(asked)
        case "car":
            return _car(asked)
        case "tar":
            return _tar(asked)
        case "ipns-record":
            raise Refusal(400, "there is a record only under /ipns/, and this gateway has none yet")
        case None:
            return _plain(asked)
        case form:
            return _object(asked, form)


def _plain(asked: Asked) -> Answer:
    if asked.target.end.codec_code in _OBJECTS:
        return _object(asked, None)
    entry = asked.store.stat_path(asked.target.end)
    match entry.kind:
        case "file":
            return file_answer(asked)
        case "directory":
            return _directory(asked)
        case "symlink":
            headers = asked.headers(etag.plain_etag(asked.target.end), "inode/symlink")
            text = os.fsencode(entry.target or "")
            return asked.unchanged(headers) or Answer(200, headers | {"Content-Length": str(len(text))}, text)
        case _:
            raise Refusal(400, "this is neither a file nor a directory: ask for ?format=raw or ?format=car")


# Blocks and archives


def _raw(asked: Asked) -> Answer:
    cid = asked.target.end
    headers = asked.headers(etag.plain_etag(cid, "raw"), MEDIA_TYPES["raw"])
    headers["Content-Disposition"] = asked.disposition("attachment", f"{cid}.bin")
    return _block(asked, headers)


def _block(asked: Asked, headers: dict[str, str]) -> Answer:
    """A block's bytes, or parts of them. A blob, which is one CID too, comes piece by piece."""
    cid = asked.target.end
    size = asked.store.size(cid)
    if unchanged := asked.unchanged(headers):
        return unchanged
    if cid.codec_code == _RAW and size > _BLOCK_BYTES_MAX:
        return _ranged(asked, headers, size, is_file=True)
    return _ranged(asked, headers, size, is_file=False)


def _car(asked: Asked) -> Answer:
    target, form = asked.target, asked.wanted.car
    headers = asked.headers(etag.car_etag(target.path, target.end, form), form.media_type)
    headers["Content-Disposition"] = asked.disposition("attachment", f"{target.end}.car")
    headers["Accept-Ranges"] = "none"
    if unchanged := asked.unchanged(headers):
        return unchanged
    # What is not here is said now; later the answer could only be cut.
    asked.store.get_block(target.end)
    before = car.path_blocks(asked.store, target.roots[0], (*target.before, *target.names), asked.limits)
    return Answer(200, headers, BufferBody(car.car_buffers(asked.store, before, target.end, form, asked.limits)))


def _tar(asked: Asked) -> Answer:
    cid = asked.target.end
    if cid.codec_code not in {_RAW, _DAG_PB}:
        raise Refusal(406, "what is not UnixFS cannot be put into a tar: ask for ?format=car")
    entry = asked.store.stat_path(cid)
    if entry.kind == "unknown":
        raise Refusal(406, "what is not UnixFS cannot be put into a tar: ask for ?format=car")
    name = asked.target.names[-1] if asked.target.names else str(cid)
    headers = asked.headers(f'W/"{cid}.x-tar"', MEDIA_TYPES["tar"])
    headers["Content-Disposition"] = asked.disposition("attachment", f"{name}.tar")
    if unchanged := asked.unchanged(headers):
        return unchanged
    total = tar.check_names(asked.store, entry)
    _check_size(asked, total)
    return Answer(200, headers, BufferBody(tar.tar_buffers(asked.store, entry, name, asked.limits)))


# Objects


def _object(asked: Asked, form: str | None) -> Answer:
    cid = asked.target.end
    own = _OBJECTS.get(cid.codec_code)
    if own is None:
        if form == "json" and cid.codec_code in {_RAW, _DAG_PB} and (file := _json_file(asked)) is not None:
            return file
        raise Refusal(
            406, f"the block is {cid.codec} and is given as nothing else: ask for ?format=raw and convert it yourself"
        )
    if form is not None and own != form and own not in _ALSO.get(form, ()):
        raise Refusal(
            406, f"the block is {own} and is given as nothing else: ask for ?format=raw and convert it yourself"
        )
    if form is None and asked.wanted.accepts_html and own in {"dag-json", "dag-cbor"}:
        return _object_page(asked, own)
    shown = form or own
    headers = asked.headers(etag.plain_etag(cid, shown), MEDIA_TYPES[shown])
    headers["Content-Disposition"] = asked.disposition(
        "inline" if shown in _INLINE else "attachment", f"{cid}.{_suffix(shown)}"
    )
    return _block(asked, headers)


def _suffix(form: str) -> str:
    return form.removeprefix("dag-")


def _json_file(asked: Asked) -> Answer | None:
    """A file as JSON, if it is one of at most a block's size, or is called so."""
    entry = asked.store.stat_path(asked.target.end)
    return file_answer(asked, kind=MEDIA_TYPES["json"]) if entry.kind == "file" else None


def _object_page(asked: Asked, form: str) -> Answer:
    cid = asked.target.end
    headers = asked.headers(
        f'"DagIndex-{etag.listing_etag(cid, listing.TEMPLATE)[10:]}',
        "text/html; charset=utf-8",
        cache=etag.LISTING_CACHE,
    )
    headers["Content-Security-Policy"] = listing.CSP
    block = asked.store.get_block(cid)
    if unchanged := asked.unchanged(headers):
        return unchanged
    try:
        text = dag_encode("dag-json", dag_decode(form, block)).decode()[:_PREVIEW_BYTES_MAX]
    except InvalidInput as error:
        text = f"not valid {form}: {error}"
    page = listing.object_page(cid=cid, form=form, text=text).encode()
    return Answer(200, headers | {"Content-Length": str(len(page))}, page)


# Files


def file_answer(asked: Asked, *, status: int = 200, tag: str | None = None, kind: str | None = None) -> Answer:
    """A file, or parts of it. With another `status` it is an error's page, and whole."""
    cid = asked.target.end
    file = asked.store.open(cid)
    _check_size(asked, file.size)
    name = asked.request.query.get("filename") or (asked.target.names[-1] if asked.target.names else "")
    if kind is None:
        kind = media.media_type(name, b"") if "." in name else ""
        if not kind or kind == "application/octet-stream" or kind.startswith("text/plain"):
            kind = media.media_type(name, file.read_at(0, media.SNIFF_BYTES))
    headers = asked.headers(tag or etag.plain_etag(cid), kind)
    if asked.request.query.get("filename") or asked.request.query.get("download") == "true":
        headers["Content-Disposition"] = asked.disposition("inline", name)
    if status != 200:
        headers["Content-Length"] = str(file.size)
        return Answer(status, headers, FileBody(asked.store, cid, [(0, file.size)]))
    if unchanged := asked.unchanged(headers):
        return unchanged
    return _ranged(asked, headers, file.size, is_file=True)


def _check_size(asked: Asked, size: int) -> None:
    most = asked.limits.response_bytes_max
    if most is not None and size > most:
        raise Refusal(
            410,
            f"answers larger than {most} bytes are not made here: ask for ?format=car or ?format=raw and put it together yourself",
        )


def _ranged(asked: Asked, headers: dict[str, str], size: int, *, is_file: bool) -> Answer:
    """The whole, or the ranges asked for, of a file or of a block."""
    headers["Accept-Ranges"] = "bytes"
    request = asked.request.headers
    header = request.get("range") if etag.is_range_allowed(request.get("if-range"), headers["Etag"]) else None
    try:
        ranges = parse_ranges(header, size, asked.limits.ranges_max)
    except Unsatisfiable as error:
        raise Refusal(416, str(error), {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}) from None
    parts: list[bytes | tuple[int, int]]
    if ranges is None:
        status, parts = 200, [(0, size)]
    elif len(ranges) == 1:
        status, parts = 206, [ranges[0]]
        headers["Content-Range"] = _content_range(ranges[0], size)
    else:
        status, parts = 206, []
        # Nobody can have put it into the file.
        boundary = secrets.token_hex(16)
        for one in ranges:
            about = f"\r\n--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\nContent-Range: {_content_range(one, size)}\r\n\r\n"
            parts += [about.encode(), one]
        parts.append(f"\r\n--{boundary}--\r\n".encode())
        headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    length = sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
    headers["Content-Length"] = str(length)
    if asked.request.method == "HEAD":
        return Answer(status, headers)
    if is_file:
        return Answer(status, headers, FileBody(asked.store, asked.target.end, parts))
    view = memoryview(asked.store.get_block(asked.target.end))
    pieces = (part if isinstance(part, bytes) else view[part[0] : part[1]] for part in parts)
    return Answer(status, headers, BufferBody(pieces, length))


def _content_range(part: tuple[int, int], size: int) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{size}"


# Directories


def _directory(asked: Asked) -> Answer:
    target, place = asked.target, asked.target.place
    is_top_of_origin = not target.names and place.base == ""
    if not asked.request.ends_in_slash and not is_top_of_origin:
        query = f"?{asked.request.query_text}" if asked.request.query_text else ""
        location = place.base + quoted(target.names, slash=True) + query
        if not location.isascii() or not location.isprintable():
            raise Refusal(400, "the query is not printable: quote it")
        return Answer(
            301,
            {
                "Location": location,
                "X-Ipfs-Path": target.path,
                "X-Ipfs-Roots": asked.roots,
                "Cache-Control": etag.FOREVER,
            },
        )
    try:
        index, rest = asked.store.resolve(Path(target.end, "index.html"))
    except (NotFound, NotADirectory):
        return _listing(asked)
    entry = asked.store.stat_path(index)
    if rest or entry.kind != "file":
        return _listing(asked)
    inner = Asked(asked.store, asked.limits, asked.request, asked.wanted, target.down("index.html", index))
    found = file_answer(inner, tag=etag.plain_etag(target.end))
    found.headers |= {"X-Ipfs-Path": asked.path, "X-Ipfs-Roots": asked.roots}
    return found


def _listing(asked: Asked) -> Answer:
    target, place = asked.target, asked.target.place
    headers = asked.headers(
        etag.listing_etag(target.end, listing.TEMPLATE), "text/html; charset=utf-8", cache=etag.LISTING_CACHE
    )
    headers["Content-Security-Policy"] = listing.CSP
    if unchanged := asked.unchanged(headers):
        return unchanged
    if asked.request.method == "HEAD":
        return Answer(200, headers)
    most = asked.limits.listing_entries_max
    entries = list(islice(asked.store.ls(target.end, resolve=False), most + 1))
    is_cut = len(entries) > most
    page = listing.directory_page(
        cid=target.end,
        crumbs=(place.namespace, place.root_text, *target.names),
        base=place.base,
        root_link=place.root_link or place.base,
        gateway=place.gateway,
        names=target.names,
        entries=sorted(entries[:most], key=lambda entry: os.fsencode(entry.name)),
        is_cut=is_cut,
    ).encode("utf-8", "replace")
    return Answer(200, headers | {"Content-Length": str(len(page))}, page)
