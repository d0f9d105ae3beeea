"""Peer ids as text and bytes: base58 of a multihash, as in `/p2p/12D3Koo…`. Pure.

An Ed25519 key is in its id (identity, at most 42 bytes), any larger key by its SHA-256. Other hashes are no peer ids.
Spec: <https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md>. Keys themselves are `rust/wire`'s.
"""

from __future__ import annotations

from typing import Final

from shoal.errors import InvalidAddress

__all__ = ["PEER_ID_BYTES_MAX", "peer_id_bytes", "peer_id_text"]

PEER_ID_BYTES_MAX: Final = 44
"""Two bytes of multihash and a key of 42, the longest that is not hashed."""
PEER_ID_TEXT_MAX: Final = 64
"""The text of so many bytes has 61 letters at most; what is longer is not looked at."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {letter: digit for digit, letter in enumerate(_ALPHABET)}
_IDENTITY, _SHA2_256 = 0x00, 0x12


def peer_id_bytes(text: str) -> bytes:
    """The multihash of a peer id. Raises `InvalidAddress`."""
    if not 0 < len(text) <= PEER_ID_TEXT_MAX:
        raise InvalidAddress(_wrong("it has not the length of one"))
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise InvalidAddress(_wrong("it has letters that base58 has not"))
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    _check(data)
    return data


def peer_id_text(data: bytes) -> str:
    """The text of a peer id's multihash. Raises `InvalidAddress`."""
    _check(data)
    number = int.from_bytes(data, "big")
    letters = ""
    while number:
        number, digit = divmod(number, 58)
        letters = _ALPHABET[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


def _check(data: bytes) -> None:
    if len(data) < 3 or len(data) > PEER_ID_BYTES_MAX or data[1] != len(data) - 2:
        raise InvalidAddress(_wrong("it has not the length of one"))
    if data[0] == _SHA2_256:
        if data[1] != 32:
            raise InvalidAddress(_wrong("its SHA-256 is not 32 bytes long"))
    elif data[0] != _IDENTITY:
        raise InvalidAddress(_wrong("it is neither a key nor the SHA-256 of one"))


def _wrong(why: str) -> str:
    return f"not a peer id: {why}; peer ids begin with 12D3Koo or Qm, and `shoal id` prints this node's"
