"""MinCDC and FastCDC, slowly: the oracle for `rust/core/src/chunk/mincdc.rs` and `fastcdc.rs`.

Bytes in, lengths of chunks out. Each function follows the sentences of `docs/formats/profiles.md` §3.6 and §3.7 and shares
nothing with the engine; the table of FastCDC is computed where the engine has it written out.

Run as a program it writes `tests/vectors/chunks.json`.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

FACTOR = 2_933_177_281


def mincdc(content: bytes, low: int, high: int) -> int:
    """Length of the first chunk: of all allowed ones the last whose four last bytes have the largest product."""
    if len(content) < high:
        return len(content)

    def product(length: int) -> int:
        return int.from_bytes(content[length - 4 : length], "little") * FACTOR % (1 << 32)

    return max(range(low, high + 1), key=lambda length: (product(length), length))


GEAR = [int.from_bytes(hashlib.md5(bytes([byte]) * 64).digest()[:8]) for byte in range(256)]
# Which bits are looked at, by their number.
MASKS = {
    7: 0x0000000018035100,
    8: 0x0000001800035300,
    9: 0x0000019000353000,
    10: 0x0000590003530000,
    11: 0x0000D90003530000,
    12: 0x0000D90103530000,
    13: 0x0000D90303530000,
    14: 0x0000D90313530000,
    15: 0x0000D90F03530000,
    16: 0x0000D90303537000,
    17: 0x0000D90703537000,
    18: 0x0000D90707537000,
    19: 0x0000D91707537000,
    20: 0x0000D91747537000,
    21: 0x0000D91767537000,
    22: 0x0000D93767537000,
}


def fastcdc(content: bytes, low: int, mean: int, high: int) -> int:
    """Length of the first chunk: the first from `low` on where the hash has no bit of the mask."""
    end = min(len(content), high)
    # The power of two that is nearest by ratio.
    bits = next(bits for bits in range(8, 22) if mean * mean < 1 << (2 * bits + 1))
    value = 0
    for length in range(low, end - end % 2):
        value = (2 * value + GEAR[content[length]]) % (1 << 64)
        if value & MASKS[bits + 1 if length < mean else bits - 1] == 0:
            return length
    return end


def lengths(chunker: str, content: bytes) -> list[int]:
    """Cuts `content`; nothing for nothing."""
    name, *numbers = chunker.split("-")
    first = {"mincdc": mincdc, "fastcdc": fastcdc}[name]
    found = []
    while content:
        found.append(first(content, *map(int, numbers)))
        content = content[found[-1] :]
    return found


def painted(length: int) -> bytes:
    """Bytes that depend on their position: the high bytes of Knuth's MMIX generator, from 1."""
    state = 1
    out = bytearray()
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out.append(state >> 56)
    return bytes(out)


# The last is that of the profile blake3-cdc.
CHUNKERS = {
    "mincdc-4-5": (0, 1, 3, 4, 5, 6, 11, 100),
    "mincdc-16-64": (15, 16, 17, 63, 64, 65, 1000),
    "mincdc-1000-1001": (999, 1000, 1001, 1002, 5000),
    # The engine looks at 1,024 places at a time.
    "mincdc-100-1122": (20_000,),
    "mincdc-100-1123": (20_000,),
    "mincdc-100-1124": (20_000,),
    "mincdc-1000-9000": (8999, 9000, 9001, 100_000),
    "fastcdc-64-256-1024": (0, 1, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 20_000, 20_001),
    "fastcdc-100-362-1024": (20_000,),
    "fastcdc-100-364-1024": (20_000,),
    "fastcdc-1024-4096-9000": (100_000,),
    "fastcdc-32768-65536-131072": (1_000_000,),
    "mincdc-43691-87381": (43_691, 87_380, 87_381, 87_382, 1_000_000),
}


def of_kinds(length: int) -> dict[str, bytes]:
    """Content of some kinds: painted, constant, a short period, and runs between painted bytes."""
    paint = painted(length)
    runs = bytearray(paint)
    for start, end in pairwise(range(0, length + 1, 3001)):
        runs[start:end] = bytes([start % 7 % 2 * 255]) * (end - start) if start % 2 else runs[start:end]
    return {
        "painted": paint,
        "zeros": bytes(length),
        "period": (paint[:97] * (length // 97 + 1))[:length],
        "runs": bytes(runs),
    }


def vectors() -> list[dict[str, object]]:
    """All cases: what was cut, by which chunker, and the lengths of the chunks."""
    cases: list[dict[str, object]] = []
    for chunker, sizes in CHUNKERS.items():
        for size in sizes:
            for kind, content in of_kinds(size).items():
                cases.append({"chunker": chunker, "content": kind, "bytes": size, "lengths": lengths(chunker, content)})
    return cases


def write_vectors(target: Path) -> None:
    """Writes the vectors, one case a line."""
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in vectors())
    target.write_text(f'{{\n"origin": "tests/reference/chunkers.py",\n"cases": [\n{lines}\n]\n}}\n', encoding="ascii")


if __name__ == "__main__":
    write_vectors(Path(__file__).parent.parent / "vectors" / "chunks.json")
