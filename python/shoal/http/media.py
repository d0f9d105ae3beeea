"""What type a file has: by its name, else by its first bytes. Pure, and the same on every machine: the system's tables are not read."""

from __future__ import annotations

import mimetypes
import re

__all__ = ["SNIFF_BYTES", "media_type"]

SNIFF_BYTES = 512
"""How far the first bytes are looked at."""

_BY_NAME = mimetypes.MimeTypes(filenames=())
_MORE = {
    ".md": "text/markdown", ".wasm": "application/wasm", ".avif": "image/avif", ".webp": "image/webp", ".woff2": "font/woff2",
    ".mjs": "text/javascript", ".js": "text/javascript", ".car": "application/vnd.ipld.car", ".log": "text/plain", ".toml": "text/plain",
    ".yaml": "text/yaml", ".yml": "text/yaml", ".parquet": "application/vnd.apache.parquet", ".opus": "audio/ogg", ".flac": "audio/flac",
}  # fmt: skip
for _suffix, _type in _MORE.items():
    _BY_NAME.add_type(_type, _suffix)
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/octet-stream",
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"), (b"PK\x03\x04", "application/zip"), (b"\x1f\x8b", "application/gzip"), (b"OggS", "application/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"), (b"ID3", "audio/mpeg"), (b"fLaC", "audio/flac"), (b"\0asm", "application/wasm"),
    (b"wOFF", "font/woff"), (b"wOF2", "font/woff2"),
)  # fmt: skip


def media_type(name: str, first: bytes) -> str:
    """The type of a file called `name` that begins with `first`."""
    guessed, encoding = _BY_NAME.guess_type("file:///" + name.rpartition("/")[2].replace("%", "_"))
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    if guessed is None:
        guessed = _by_content(first[:SNIFF_BYTES])
    if guessed.startswith("text/") and "charset" not in guessed:
        return f"{guessed}; charset=utf-8"
    return guessed


def _by_content(first: bytes) -> str:
    for magic, found in _MAGIC:
        if first.startswith(magic):
            return found
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    if first[4:8] == b"ftyp":
        return "video/mp4"
    start = first.lstrip(b"\t\n\r \xef\xbb\xbf").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return "text/html"
    if start.startswith(b"<svg"):
        return "image/svg+xml"
    if start.startswith(b"<?xml"):
        return "image/svg+xml" if b"<svg" in start else "text/xml"
    if re.match(rb'[{[]\s*("[^"]*"\s*[:,]|[{[])', start):
        return "application/json"
    if any(byte < 32 and byte not in b"\t\n\r\x0c\x1b" for byte in first):
        return "application/octet-stream"
    try:
        # The last character may be cut in two.
        first.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(first) - 3:
            return "application/octet-stream"
    return "text/plain"
