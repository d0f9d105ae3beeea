"""`shoal cid`: what a CID says, and how it is written otherwise. No store is opened.

The one rule: nothing is guessed; the parts come from the CID's own bytes.
"""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

import click

from shoal import CID
from shoal.cli.command import Family
from shoal.cli.ending import FAILED, OK
from shoal.cli.output import printable, printable_line
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import is_piped
from shoal.errors import InvalidCID, ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable

# https://github.com/multiformats/multicodec/blob/master/table.csv: what people convert between.
_CODECS = {
    "raw": 0x55,
    "dag-pb": 0x70,
    "dag-cbor": 0x71,
    "libp2p-key": 0x72,
    "dag-json": 0x0129,
    "json": 0x0200,
    "cbor": 0x51,
}
_CIDS_BYTES_MAX = 1 << 20


def _digits(alphabet: str) -> Callable[[bytes], str]:
    """The encoding that reads bytes as one large number, leading zero bytes as leading zero digits."""

    def encode(data: bytes) -> str:
        number, digits = int.from_bytes(data), ""
        while number:
            number, digit = divmod(number, len(alphabet))
            digits = alphabet[digit] + digits
        return alphabet[0] * (len(data) - len(data.lstrip(b"\0"))) + digits

    return encode


# https://github.com/multiformats/multibase: name → (prefix, how bytes are written).
_BASES: dict[str, tuple[str, Callable[[bytes], str]]] = {
    "base16": ("f", bytes.hex),
    "base16upper": ("F", lambda data: data.hex().upper()),
    "base32": ("b", lambda data: base64.b32encode(data).decode().rstrip("=").lower()),
    "base32upper": ("B", lambda data: base64.b32encode(data).decode().rstrip("=")),
    "base36": ("k", _digits("0123456789abcdefghijklmnopqrstuvwxyz")),
    "base58btc": ("z", _digits("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")),
    "base64": ("m", lambda data: base64.b64encode(data).decode().rstrip("=")),
    "base64url": ("u", lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")),
}


@click.group("cid", cls=Family)
def cid() -> None:
    """Look into CIDs and rewrite them."""


@cid.command(
    "inspect",
    examples=[
        "shoal cid inspect QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        'shoal cid inspect --json "$(shoal add -Q notes.txt)"',
    ],
)
@click.argument("text", metavar="CID")
@pass_session
def inspect(session: Session, text: str) -> None:
    """Print the parts of a CID."""
    found = CID(_bare(text))
    implicit = found.version == 0
    v0 = _version_0(found)
    note = ", implicit" if implicit else ""
    base = f"{_base_of(text, found)} (implicit)" if implicit else f"{_base_of(text, found)} ({_bare(text)[0]})"
    session.output.result(
        {
            "cid": str(text),
            "version": found.version,
            "base": _base_of(text, found),
            "codec": found.codec,
            "codec_code": found.codec_code,
            "hash": found.hash,
            "hash_code": found.hash_code,
            "digest_bytes": len(found.digest),
            "digest": found.digest.hex(),
            "cid_v0": v0,
            "cid_v1": str(found.to_v1()),
        },
        f"CID:        {_bare(text)}",
        f"Version:    {found.version}",
        f"Multibase:  {base}",
        f"Multicodec: {found.codec} (0x{found.codec_code:x}{note})",
        f"Multihash:  {found.hash} (0x{found.hash_code:x}{note})",
        f"  Length:   {len(found.digest)} bytes",
        f"  Digest:   {found.digest.hex()}",
        f"CIDv0:      {v0 or 'not possible: that needs dag-pb and sha2-256'}",
        f"CIDv1:      {found.to_v1()}",
    )


@cid.command(
    "format",
    examples=[
        "shoal cid format -v 1 -b base32 QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        'shoal cid format -f "%c %h %L" "$(shoal add -Q notes.txt)"',
        "shoal refs local | shoal cid format -b base36",
    ],
)
@click.argument("texts", nargs=-1, metavar="[CID]...")
@click.option("-f", "form", default="%s", metavar="TEXT", help="What to print, with the %-words below (default: %s).")
@click.option("-v", "version", type=click.Choice(["0", "1"]), help="Convert to this version.")
@click.option("--mc", "codec", metavar="NAME", help="Convert to this codec: a name, or a number such as 0x55.")
@click.option("-b", "base", metavar="NAME", help=f"Write in this base: {', '.join(_BASES)}.")
@pass_session
def format_(
    session: Session, texts: tuple[str, ...], form: str, version: str | None, codec: str | None, base: str | None
) -> int:
    """Rewrite CIDs: another version, codec or base, or any of their parts.

    \b
    %%  a percent sign                %h %H  hash name, code
    %b %B  base name, prefix          %L     digest length in bytes
    %v %V  version, as cidv1, as 1    %m %M  multihash with, without base prefix
    %c %C  codec name, code           %d %D  digest with, without base prefix
    %s %S  CID with, without prefix   %P     version-codec-hash-length

    Without CID, they are read from stdin, one a line.
    """
    if base is not None:
        base = _base_named(base)
    code = None if codec is None else _codec_named(codec)
    _check_form(form)
    if not texts:
        if not is_piped(sys.stdin):
            raise click.UsageError("no CID given: name one, or pipe some in")
        texts = tuple(sys.stdin.read(_CIDS_BYTES_MAX).split())
    result = OK
    for text in texts:
        try:
            line = _written(text, form, None if version is None else int(version), code, base)
        except ShoalError as error:
            click.echo(f"shoal: {printable(text)[:80]}: {printable_line(str(error))}", err=True)
            result = error.exit_code if len(texts) == 1 else FAILED
            continue
        session.output.result({"cid": text, "formatted": line}, line)
    return result


def _bare(text: str) -> str:
    """The CID in `ipfs://CID` or `/ipfs/CID`, which people paste."""
    for prefix in ("ipfs://", "/ipfs/"):
        text = text.removeprefix(prefix)
    return text


def _written(text: str, form: str, version: int | None, code: int | None, base: str | None) -> str:
    found = CID(_bare(text))
    if version == 0 and base not in (None, "base58btc"):
        raise click.UsageError(f"CIDs of version 0 are written in base58btc only, not in {base}: leave out -b or -v")
    base = "base58btc" if version == 0 else base or _base_of(text, found)
    if code is not None and code != found.codec_code:
        found = CID(b"\x01" + _varint(code) + found.multihash)
    if version == 0:
        found = found.to_v0()
    elif version == 1 or base != "base58btc":
        # Version 0 has no prefix to say a base with, so it is always base58btc.
        found = found.to_v1()
    return _filled(form, found, base)


def _filled(form: str, found: CID, base: str) -> str:
    prefix, encode = _BASES[base]
    multihash, digest, whole = encode(found.multihash), encode(found.digest), encode(bytes(found))
    version, length = found.version, len(found.digest)
    words = {
        "%": "%",
        "b": base,
        "B": prefix,
        "v": f"cidv{version}",
        "V": str(version),
        "c": found.codec,
        "C": str(found.codec_code),
        "h": found.hash,
        "H": str(found.hash_code),
        "L": str(length),
        "m": prefix + multihash,
        "M": multihash,
        "d": prefix + digest,
        "D": digest,
        "s": whole if version == 0 else prefix + whole,
        "S": whole,
        "P": f"cidv{version}-{found.codec}-{found.hash}-{length}",
    }
    pieces = form.split("%")
    # Every other piece follows a percent sign; `%%` leaves an empty one, whose successor is plain text.
    text, plain = pieces[0], False
    for piece in pieces[1:]:
        if plain:
            text, plain = text + piece, False
        elif not piece:
            text, plain = text + "%", True
        else:
            text += words[piece[0]] + piece[1:]
    return text


def _check_form(form: str) -> None:
    rest = form.replace("%%", "").split("%")[1:]
    for piece in rest:
        if piece[:1] not in tuple("bBvVcChHLmMdDsSP"):
            raise click.UsageError(
                f"-f knows no %{printable(piece[:1])}: see 'shoal cid format --help' for those it knows"
            )


def _base_of(text: str, found: CID) -> str:
    """The base in which a CID was given."""
    if found.version == 0:
        return "base58btc"
    first = _bare(text)[0]
    return next((name for name, (prefix, _) in _BASES.items() if prefix == first), "base32")


def _base_named(name: str) -> str:
    for known, (prefix, _) in _BASES.items():
        if name in (known, prefix):
            return known
    raise click.UsageError(f"-b knows no base {printable(name)!r}: it is one of {', '.join(_BASES)}")


def _codec_named(name: str) -> int:
    try:
        code = _CODECS[name] if name in _CODECS else int(name, 0)
    except ValueError:
        code = -1
    if not 0 <= code < 1 << 63:
        raise click.UsageError(
            f"--mc knows no codec {printable(name)!r}: it is one of {', '.join(_CODECS)}, or a number"
        )
    return code


def _varint(number: int) -> bytes:
    """https://github.com/multiformats/unsigned-varint"""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _version_0(found: CID) -> str | None:
    try:
        return str(found.to_v0())
    except InvalidCID:
        return None
