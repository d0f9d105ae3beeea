"""ipld/codec-fixtures through Python: 128 values, each in dag-cbor and dag-json, some in dag-pb.

Not here: the same over the Rust codecs alone, which is `rust/core/tests/codec_fixtures.rs`. These show that the objects
in between, which a person holds in their hands, lose nothing. `.ci/fixtures` fetches the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def values(fixtures_folder: Path) -> dict[str, dict[str, tuple[shoal.CID, bytes]]]:
    """By the value's name and the codec: the CID that the block must have, and the block."""
    found = {
        folder.name: {file.suffix[1:]: (shoal.CID(file.stem), file.read_bytes()) for file in folder.iterdir()}
        for folder in (fixtures_folder / "codecs").iterdir()
    }
    assert len(found) == 128
    return found


def test_every_value_crosses_python_from_every_codec_to_every_other(values):
    crossings = 0
    for name, blocks in values.items():
        for source, (_, block) in blocks.items():
            held = shoal.dag_decode(source, block)
            for target, (cid, expected) in blocks.items():
                written = shoal.dag_encode(target, held)
                assert written == expected, f"{name} from {source} to {target}"
                assert shoal.CID.of(written, codec=target) == cid, f"{name} from {source} to {target}"
                crossings += 1
    assert crossings == 111 * 4 + 17 * 9


def test_a_value_is_the_same_object_from_every_codec(values):
    for name, blocks in values.items():
        held = [shoal.dag_decode(codec, block) for codec, (_, block) in blocks.items()]
        assert all(other == held[0] for other in held), name


def test_kinds_keep_their_python_types(values):
    def held(name: str) -> object:
        return shoal.dag_decode("dag-cbor", values[name]["dag-cbor"][1])

    assert held("null") is None
    assert held("true") is True
    assert held("int-18446744073709551615") == 2**64 - 1
    assert held("int--11959030306112471732") == -11959030306112471732
    assert isinstance(held("float-0.5"), float)
    assert held("bytes-a1") == b"\xa1"
    assert held("string-𐅑") == "𐅑"
    assert held("map-empty") == {}
    assert held("cid-bafkqabiaaebagba") == shoal.CID("bafkqabiaaebagba")
