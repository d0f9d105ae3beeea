"""DAG-JSON, slowly: the oracle for `rust/core/src/dag/json.rs`.

Spec: https://ipld.io/specs/codecs/dag-json/spec/; what it leaves open is as in ECMAScript's JSON.stringify, and
whole floats keep `.0`.
Values are those of `dag_cbor`. The standard library reads the JSON, so only the rules of DAG-JSON stand here.

Run as a program it writes `tests/vectors/dag.json`.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import dag_cbor
from dag_cbor import DEPTH_MAX, Link

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def cid_text(cid: bytes) -> str:
    """Base58 for CIDv0, base32 for CIDv1."""
    if cid[:2] != b"\x12\x20":
        return "b" + base64.b32encode(cid).decode().lower().rstrip("=")
    number, text = int.from_bytes(cid, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text


def cid_from_text(text: str) -> bytes:
    """The two forms that `cid_text` writes."""
    if text.startswith("b"):
        cid = base64.b32decode(text[1:].upper() + "=" * (-(len(text) - 1) % 8))
    else:
        number = 0
        for letter in text:
            number = number * 58 + BASE58.index(letter)
        cid = number.to_bytes(34, "big")
    dag_cbor.check_cid(cid)
    if cid_text(cid) != text:
        raise ValueError("not the canonical text of a CID")
    return cid


def float_text(x: float) -> str:
    """Shortest digits that read back, plain from 1e-6 up to 1e21, always with a point or an exponent."""
    if not math.isfinite(x):
        raise ValueError("not finite")
    if x == 0:
        return "-0.0" if math.copysign(1, x) < 0 else "0.0"
    # repr has the shortest digits; spell them as 0.DIGITS times ten to the POINT.
    mantissa, _, exponent = f"{abs(x)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, point = whole + fraction, len(whole) + int(exponent or 0)
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    sign = "-" if x < 0 else ""
    if not -6 <= point - 1 < 21:
        rest = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    digits = digits.ljust(point + 1, "0")
    return f"{sign}{digits[:point]}.{digits[point:]}"


def encode(value: Any) -> bytes:
    """The one canonical encoding."""
    return _text(value, 0).encode()


def _text(value: Any, depth: int) -> str:
    if isinstance(value, list | dict) and depth == DEPTH_MAX:
        raise ValueError("too deep")
    match value:
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            if not -(1 << 64) <= value < 1 << 64:
                raise ValueError("integer out of range")
            return str(value)
        case float():
            return float_text(value)
        case bytes():
            return '{"/":{"bytes":"' + base64.b64encode(value).decode().rstrip("=") + '"}}'
        case Link():
            return '{"/":"' + cid_text(value.cid) + '"}'
        case list():
            return "[" + ",".join(_text(item, depth + 1) for item in value) + "]"
        case dict():
            entries = sorted(value.items(), key=lambda entry: entry[0].encode())
            if entries and entries[0][0] == "/" and _looks_reserved(entries[0][1]):
                raise ValueError("reserved key")
            return "{" + ",".join(f"{_text(key, 0)}:{_text(item, depth + 1)}" for key, item in entries) + "}"
    raise TypeError(f"{type(value)} is not in the data model")


def _looks_reserved(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and min(value, key=str.encode) == "bytes" and isinstance(value["bytes"], str)
    return isinstance(value, str)


def decode(block: bytes) -> Any:
    """The value of a canonical block; ValueError for anything else."""
    try:
        value = json.loads(block.decode("utf-8"), object_pairs_hook=list_of_pairs, parse_constant=_refuse)
        value = _meaning(value)
    except RecursionError:
        raise ValueError("too deep") from None
    if encode(value) != block:
        raise ValueError("not canonical")
    return value


class Pairs(list[tuple[str, Any]]):
    """The entries of a JSON object, in the order written, before anyone knows whether they are a map."""


def list_of_pairs(pairs: list[tuple[str, Any]]) -> Pairs:
    """Hook for `json.loads`."""
    return Pairs(pairs)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _meaning(value: Any) -> Any:
    match value:
        case Pairs([("/", str(text))]):
            return Link(cid_from_text(text))
        case Pairs([("/", Pairs([("bytes", str(text))]))]):
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        case Pairs():
            if len({key for key, _ in value}) != len(value):
                raise ValueError("duplicate key")
            return {key: _meaning(item) for key, item in value}
        case list():
            return [_meaning(item) for item in value]
    return value


SHA2_256_RAW = bytes.fromhex("01551220") + bytes(range(32))
IDENTITY = bytes.fromhex("0155000500") + b"\x01\x02\x03\x04"
CID_V0 = bytes.fromhex("1220") + bytes(range(32, 64))
BLAKE3_LONG = bytes.fromhex("01711e40") + bytes(range(64))


def nested(depth: int, shape: str) -> Any:
    """`depth` lists or maps within each other."""
    value: Any = [] if shape == "list" else {}
    for _ in range(depth - 1):
        value = [value] if shape == "list" else {"a": value}
    return value


# Lengths and numbers on both sides of every change of form.
INTEGERS = [
    n
    for width in (0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
    for n in (width, -1 - width)
]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    1e-6,
    9.999e-7,
    1e-7,
    123456.75,
    1e20,
    1e21,
    1.5e300,
    5e-324,
    1.7976931348623157e308,
    2.0**53,
    2.2250738585072014e-308,
]
STRINGS = [
    "",
    "a",
    "/",
    "bytes",
    '\u0000\u0001\u001f\b\t\n\f\r"\\/\u007f',
    "\u0080\u2028\u2029\ufffd",
    "é水𐅑",
    "x" * 23,
    "x" * 24,
    "x" * 256,
]
VALUES: dict[str, Any] = {
    "null": None,
    "false": False,
    "true": True,
    **{f"integer {n}": n for n in INTEGERS},
    **{f"float {x!r}": x for x in FLOATS},
    **{f"string {i}": text for i, text in enumerate(STRINGS)},
    **{f"bytes {n}": bytes(i * 7 % 256 for i in range(n)) for n in (0, 1, 2, 3, 4, 23, 24, 255, 256)},
    **{f"list {n}": list(range(n)) for n in (0, 1, 23, 24, 256)},
    "map empty": {},
    "map order": {
        key: i
        for i, key in enumerate(["", "a", "b", "B", "aa", "Z", "é", "水", "\u0001", "bb", "aaa", "/", "0", "00", "9"])
    },
    "map 24": {f"{n:02}": n for n in range(24)},
    "map 300": {str(n): [n] for n in range(300)},
    "link": Link(SHA2_256_RAW),
    "link identity": Link(IDENTITY),
    "link v0": Link(CID_V0),
    "link long": Link(BLAKE3_LONG),
    "links": {"list": [Link(SHA2_256_RAW), {"x": Link(CID_V0)}, Link(SHA2_256_RAW)], "one": Link(IDENTITY)},
    "reserved key holding a number": {"/": 1},
    "reserved key holding a link": {"/": Link(IDENTITY)},
    "reserved key holding a map": {"/": {"bytes": 1}},
    "reserved key not first": {"!": 0, "/": "text"},
    "bytes key not first": {"/": {"a": 0, "bytes": "text"}},
    "lists at the depth limit": nested(DEPTH_MAX, "list"),
    "maps at the depth limit": nested(DEPTH_MAX, "map"),
    "mixed": {"a": [1, -1, 1.5, None, True, {"b": b"\xff\x00", "c": Link(CID_V0)}], "long key " * 5: {"": ""}},
}

CBOR_REFUSED = {
    "empty": "",
    "trailing byte": "0000",
    "two values": "f6f6",
    "undefined": "f7",
    "simple value 0": "e0",
    "simple value 255": "f8ff",
    "false in two bytes": "f814",
    "break": "ff",
    "indefinite list": "9f00ff",
    "indefinite map": "bf616100ff",
    "indefinite bytes": "5f4100ff",
    "indefinite text": "7f6161ff",
    "reserved length": "1c",
    "half float": "f93c00",
    "half infinity": "f97c00",
    "half NaN": "f97e00",
    "single float": "fa3f800000",
    "single NaN": "fa7fc00000",
    "NaN": "fb7ff8000000000000",
    "infinity": "fb7ff0000000000000",
    "negative infinity": "fbfff0000000000000",
    "integer 0 in 2 bytes": "1800",
    "integer 23 in 2 bytes": "1817",
    "integer 255 in 3 bytes": "1900ff",
    "integer 65535 in 5 bytes": "1a0000ffff",
    "integer 2^32-1 in 9 bytes": "1b00000000ffffffff",
    "negative in 2 bytes": "3800",
    "list length in 2 bytes": "980100",
    "map length in 2 bytes": "b801616100",
    "text length in 2 bytes": "780161",
    "bytes length in 2 bytes": "580100",
    "key length in 2 bytes": "a178016100",
    "keys out of order": "a2616200616100",
    "keys not shorter first": "a262616100616200",
    "duplicate key": "a2616100616101",
    "duplicate empty key": "a260006000",
    "integer key": "a10000",
    "bytes key": "a1416100",
    "null key": "a1f600",
    "text not UTF-8": "61ff",
    "text with a surrogate": "63eda080",
    "key not UTF-8": "a161ff00",
    "map without a value": "a16161",
    "list too short": "820a",
    "text too short": "626b",
    "integer too short": "1a0000",
    "list of 2^30": "9a40000000",
    "list of 2^64-1": "9bffffffffffffffff",
    "map of 2^30": "ba40000000",
    "map of 2^63": "bb8000000000000000",
    "bytes of 2^30": "5a4000000000",
    "text of 2^62": "7b400000000000000061",
    "tag 0": "c000",
    "tag 2, a bignum": "c249010000000000000000",
    "tag 43 of a link": "d82b" + dag_cbor.encode(b"\x00" + SHA2_256_RAW).hex(),
    "tag 42 of text": "d82a6161",
    "tag 42 of nothing": "d82a",
    "tag 42 of no bytes": "d82a40",
    "tag 42 in 3 bytes": "d9002a" + dag_cbor.encode(b"\x00" + SHA2_256_RAW).hex(),
    "link without the zero byte": "d82a" + dag_cbor.encode(SHA2_256_RAW).hex(),
    "link with a one byte": "d82a" + dag_cbor.encode(b"\x01" + SHA2_256_RAW).hex(),
    "link cut short": "d82a" + dag_cbor.encode(b"\x00" + SHA2_256_RAW[:-1]).hex(),
    "link with a byte too many": "d82a" + dag_cbor.encode(b"\x00" + SHA2_256_RAW + b"\x00").hex(),
    "link of version 2": "d82a" + dag_cbor.encode(b"\x00\x02" + SHA2_256_RAW[1:]).hex(),
    "link with a long varint": "d82a" + dag_cbor.encode(b"\x00\x01\xd5\x00" + SHA2_256_RAW[2:]).hex(),
    "tag in a tag": "d82ad82a" + dag_cbor.encode(b"\x00" + SHA2_256_RAW).hex(),
    "lists too deep": "81" * DEPTH_MAX + "80",
    "maps too deep": "a16161" * DEPTH_MAX + "a0",
}

JSON_REFUSED = {
    "empty": "",
    "space": " ",
    "leading space": " 1",
    "trailing newline": "1\n",
    "space in a list": "[1, 2]",
    "space in a map": '{"a": 1}',
    "two values": "1 2",
    "trailing comma in a list": "[1,]",
    "trailing comma in a map": '{"a":1,}',
    "missing comma": "[1 2]",
    "missing colon": '{"a"1}',
    "unclosed list": "[1",
    "unclosed map": '{"a":1',
    "unclosed string": '"a',
    "key without quotes": "{a:1}",
    "number key": "{1:1}",
    "keys out of order": '{"b":1,"a":2}',
    "keys sorted as in dag-cbor": '{"b":1,"aa":2}',
    "duplicate key": '{"a":1,"a":1}',
    "duplicate key by escape": '{"a":1,"\\u0061":1}',
    "NaN": "NaN",
    "infinity": "Infinity",
    "negative infinity": "-Infinity",
    "float overflow": "1e400",
    "plus sign": "+1",
    "minus alone": "-",
    "minus zero": "-0",
    "leading zero": "01",
    "leading point": ".5",
    "trailing point": "1.",
    "empty exponent": "1e",
    "exponent of a whole number": "1e3",
    "capital exponent": "1E+21",
    "exponent without sign": "1e21",
    "float with a needless zero": "1.50",
    "float written out": "0.0000001",
    "integer 2^64": "18446744073709551616",
    "integer -2^64-1": "-18446744073709551617",
    "integer of many digits": "9" * 400,
    "single quotes": "'a'",
    "unknown escape": '"\\x41"',
    "needless escape of a letter": '"\\u0061"',
    "needless escape of a slash": '"\\/"',
    "long form of a short escape": '"\\u000a"',
    "capital hex": '"\\u001F"',
    "raw control character": '"\u0001"',
    "raw newline": '"\n"',
    "lone high surrogate": '"\\ud800"',
    "lone low surrogate": '"\\udc00"',
    "high surrogate before a letter": '"\\ud800a"',
    "two high surrogates": '"\\ud800\\ud800"',
    "escaped surrogate pair": '"\\ud800\\udd51"',
    "comment": "1//",
    "byte order mark": "\ufeff1",
    "word cut short": "nul",
    "word too long": "nulls",
    "capital word": "True",
    "link in base16": '{"/":"f' + SHA2_256_RAW.hex() + '"}',
    "link in capital base32": '{"/":"' + cid_text(SHA2_256_RAW).upper() + '"}',
    "link that is no CID": '{"/":"hello"}',
    "link that is empty": '{"/":""}',
    "link with another key": '{"/":"' + cid_text(SHA2_256_RAW) + '","a":1}',
    "text under the reserved key with another key": '{"/":"hello","a":1}',
    "bytes with padding": '{"/":{"bytes":"oQ=="}}',
    "bytes in the alphabet for URLs": '{"/":{"bytes":"_-8"}}',
    "bytes with stray bits": '{"/":{"bytes":"oR"}}',
    "bytes of a bad length": '{"/":{"bytes":"o"}}',
    "bytes with another key inside": '{"/":{"bytes":"oQ","a":1}}',
    "bytes with another key outside": '{"/":{"bytes":"oQ"},"a":1}',
    "lists too deep": "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1),
    "maps too deep": '{"a":' * DEPTH_MAX + "{}" + "}" * DEPTH_MAX,
}

# Read all the same by the relaxed readers, and what they then are in canonical form.
CBOR_RELAXED = {
    "keys out of order": ("a2616200616100", {"a": 0, "b": 0}),
    "keys sorted by bytes": ("a262616100616200", {"aa": 0, "b": 0}),
    "long integer": ("1b0000000000000001", 1),
    "long negative": ("390000", -1),
    "long lengths": ("9800", []),
    "half float": ("f93e00", 1.5),
    "half float, subnormal": ("f98001", -(2.0**-24)),
    "single float": ("fa3fc00000", 1.5),
    "long tag": ("d9002a" + dag_cbor.encode(b"\x00" + SHA2_256_RAW).hex(), Link(SHA2_256_RAW)),
}
JSON_RELAXED = {
    "spaces": (' {\t"b" : [ 1 ,\r\n2 ] , "a" : { } }\n', {"b": [1, 2], "a": {}}),
    "keys out of order": ('{"b":1,"aa":2}', {"b": 1, "aa": 2}),
    "escapes": ('"\\u0061\\/\\u000a\\ud800\\udd51\\u2028"', "a/\n𐅑\u2028"),
    "minus zero": ("-0", 0),
    "numbers": ("[1e3,1E+21,0.0000001,-1.50]", [1000.0, 1e21, 1e-7, -1.5]),
    "spaced link": ('{ "/" : "' + cid_text(CID_V0) + '" }', Link(CID_V0)),
    "link in base16": ('{"/":"f' + SHA2_256_RAW.hex() + '"}', Link(SHA2_256_RAW)),
    "padded bytes": ('{"/":{"bytes":"oQ=="}}', b"\xa1"),
    "reserved key not first": ('{"a":1,"/":"text","!":2}', {"!": 2, "/": "text", "a": 1}),
}


def refused(decode: Any, block: bytes) -> bool:
    """Whether the oracle itself refuses."""
    try:
        decode(block)
    except ValueError:
        return True
    return False


def vectors() -> dict[str, Any]:
    """All of the above, checked against this oracle."""
    accepted = []
    for name, value in VALUES.items():
        cbor, text = dag_cbor.encode(value), encode(value)
        assert dag_cbor.decode(cbor) == value
        assert decode(text) == value
        accepted.append({"name": name, "cbor": cbor.hex(), "json": text.hex()})
    cbor_refused = {name: bytes.fromhex(block) for name, block in CBOR_REFUSED.items()}
    json_refused = {name: text.encode() for name, text in JSON_REFUSED.items()}
    for name, block in cbor_refused.items():
        assert refused(dag_cbor.decode, block), name
    for name, block in json_refused.items():
        assert refused(decode, block), name
    return {
        "origin": "tests/reference/dag_json.py",
        "accepted": accepted,
        "cbor_refused": [{"name": name, "block": block.hex()} for name, block in cbor_refused.items()],
        "json_refused": [{"name": name, "block": block.hex()} for name, block in json_refused.items()],
        "cbor_relaxed": [
            {"name": n, "block": b, "canonical": dag_cbor.encode(v).hex()} for n, (b, v) in CBOR_RELAXED.items()
        ],
        "json_relaxed": [
            {"name": n, "block": b.encode().hex(), "canonical": encode(v).hex()} for n, (b, v) in JSON_RELAXED.items()
        ],
    }


def write_vectors(path: Path, content: dict[str, Any]) -> None:
    """One line an entry, so that a changed vector shows as one changed line."""
    parts = []
    for key, entries in content.items():
        if isinstance(entries, list):
            lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
            parts.append(f"{json.dumps(key)}:[\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(entries)}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    write_vectors(Path(__file__).parent.parent / "vectors" / "dag.json", vectors())
