"""The fourteen CIDs that IPIP-499 publishes: seven inputs for each of its two profiles.

Source: IPIP-499 (ratified 2026-03-05), "test vectors". Inputs are a ChaCha20 keystream whose key is the SHA-256 of a
seed, with a nonce of zeros. Needs no other program. The two of more than 1 GiB run with SHOAL_BIG=1.
"""

from __future__ import annotations

import array
import hashlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz01234567890-_"  # 39: the zero is in twice, and so it stands in the recipe
KIB, MIB = 1 << 10, 1 << 20

LANES = 2048
"""Blocks of keystream made at once, each in its own 64-bit slot of sixteen long integers."""
ONES = int.from_bytes(b"\x01\0\0\0\0\0\0\0" * LANES, "little")
MASK = ONES * 0xFFFF_FFFF


def _quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & MASK
        mixed = state[z] ^ state[x]
        state[z] = ((mixed << bits) | (mixed >> (32 - bits))) & MASK


def keystream(seed: str) -> Iterator[bytes]:
    """ChaCha20 (RFC 8439), from block 0, with a nonce of zeros: pieces of 64 * LANES bytes."""
    key = array.array("I", hashlib.sha256(seed.encode()).digest())
    assert key.itemsize == 4
    assert sys.byteorder == "little"
    fixed = [*array.array("I", b"expand 32-byte k"), *key]
    counters = int.from_bytes(array.array("Q", range(LANES)).tobytes(), "little")
    while True:
        first = [ONES * word for word in fixed] + [counters, 0, 0, 0]
        state = list(first)

        for _ in range(10):
            for slant in (0, 1):
                for a in range(4):
                    _quarter_round(state, a, *(4 * row + (a + slant * row) % 4 for row in (1, 2, 3)))
        out = array.array("I", bytes(64 * LANES))
        for word in range(16):
            lanes = ((state[word] + first[word]) & MASK).to_bytes(8 * LANES, "little")
            out[word::16] = array.array("I", lanes)[0::2]
        yield out.tobytes()
        counters += ONES * LANES


class Keystream:
    """The first `length` bytes of a keystream, read like a file."""

    def __init__(self, seed: str, length: int) -> None:
        self.pieces = keystream(seed)
        self.left = length
        self.piece = b""

    def read(self, most: int = -1) -> bytes:
        if not self.piece:
            self.piece = next(self.pieces)
        most = min(self.left, len(self.piece), most if most >= 0 else self.left)
        taken, self.piece = self.piece[:most], self.piece[most:]
        self.left -= most
        return taken


def test_the_keystream_is_chacha20():
    # Made with `openssl enc -chacha20 -K <SHA-256 of the seed> -iv 00000000000000000000000000000000`.
    pieces = keystream("chunk-v0-seed")
    first, second = next(pieces), next(pieces)
    assert first[:16].hex() == "4a07e1b7e7b2f73a70419a292c87be55"
    assert second[-16:].hex() == "15f5b1dc4c79596d812a216449163d63"


FILES = {
    "unixfs-v0-2015": [
        ("chunk-v0-seed", 256 * KIB, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"),
        ("chunk-v0-seed", 256 * KIB + 1, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
        ("v0-seed", 174 * 256 * KIB, "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"),
        ("v0-seed", 174 * 256 * KIB + 1, "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
    ],
    "unixfs-v1-2025": [
        ("chunk-v1-seed", MIB, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"),
        ("chunk-v1-seed", MIB + 1, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
        ("v1-2025-seed", 1024 * MIB, "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm"),
        ("v1-2025-seed", 1024 * MIB + 1, "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe"),
    ],
}
BIG = os.environ.get("SHOAL_BIG") == "1"
CHOSEN = [(p, *case) for p, cases in FILES.items() for case in cases if BIG or case[1] <= 300 * MIB]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[shoal.Store]:
    with shoal.Store(tmp_path / "store") as opened:
        yield opened


@pytest.mark.parametrize(
    ("profile", "cid"),
    [
        ("unixfs-v0-2015", "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
        ("unixfs-v1-2025", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
    ],
)
def test_a_small_file_has_the_published_cid(store: shoal.Store, profile: str, cid: str):
    assert str(store.add(b"hello world", profile=profile).cid) == cid


@pytest.mark.parametrize(("profile", "seed", "length", "cid"), CHOSEN)
def test_a_file_at_a_boundary_has_the_published_cid(store: shoal.Store, profile: str, seed: str, length: int, cid: str):
    added = store.add(Keystream(seed, length), profile=profile, only_hash=True)
    assert added.bytes == length
    assert str(added.cid) == cid


@pytest.mark.parametrize(
    ("profile", "files", "name_bytes", "name_bytes_last", "cid"),
    [
        ("unixfs-v0-2015", 4096, 30, 30, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN"),
        ("unixfs-v0-2015", 4033, 31, 31, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP"),
        ("unixfs-v1-2025", 4766, 11, 21, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"),
        ("unixfs-v1-2025", 4766, 11, 22, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"),
    ],
    ids=["v0-at-the-threshold", "v0-above-it", "v1-at-the-threshold", "v1-above-it"],
)
def test_a_directory_at_the_sharding_threshold_has_the_published_cid(
    store: shoal.Store, tmp_path: Path, profile: str, files: int, name_bytes: int, name_bytes_last: int, cid: str
):
    folder = tmp_path / "folder"
    folder.mkdir()
    stream = b"".join(piece for piece, _ in zip(keystream(f"hamt-{profile}"), range(2), strict=False))
    for number in range(files):
        length = name_bytes_last if number == files - 1 else name_bytes
        letters = stream[number * name_bytes : number * name_bytes + length]
        (folder / "".join(LETTERS[byte % len(LETTERS)] for byte in letters)).write_bytes(b"x")
    assert len(list(folder.iterdir())) == files
    assert str(store.add(folder, profile=profile).cid) == cid
