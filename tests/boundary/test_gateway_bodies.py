"""Bodies of files: whoever reads fast, and has leaves read ahead, gets the bytes that the store gives, whatever the file's shape."""

from __future__ import annotations

import pytest

import shoal
from shoal.errors import Damaged, InvalidInput, NotFound
from shoal.http.body import FileBody
from shoal.http.leaves import Leaves, NotPlain

MIB = 1 << 20
PAINTED = bytes(at * at % 251 for at in range(5 * MIB // 2)) * 2
EDGES = [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 1, len(PAINTED) - 1, len(PAINTED)]
SHAPES = {
    "blake3": shoal.Profile.BLAKE3,
    "sha2-256": shoal.Profile.UNIXFS_V1_2025,
    "dag-pb leaves": shoal.Profile.UNIXFS_V0_2015,
    "many levels": shoal.Profile.UNIXFS_V1_2025.replace(chunker="size-10000", file_links_max=3),
    "trickle": shoal.Profile.UNIXFS_V1_2025.replace(layout="trickle", chunker="size-100000", file_links_max=4),
    "cut by content": shoal.Profile.BLAKE3_CDC,
    "a blob": shoal.Profile.BLAKE3.replace(layout="blob"),
}


def read(body: FileBody, sizes: list[int]) -> bytes:
    found, at = bytearray(), 0
    while piece := body.read(sizes[at % len(sizes)]):
        assert len(piece) <= sizes[at % len(sizes)]
        found += piece
        at += 1
    return bytes(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fast_reader_gets_the_bytes_that_a_slow_one_gets(tmp_path, shape):
    with shoal.Store(tmp_path / "store") as store:
        cid = store.add(PAINTED, profile=SHAPES[shape]).cid
        for start in EDGES:
            for stop in EDGES:
                if start < stop:
                    for sizes in ([MIB], [MIB + 1], [32768, MIB, MIB, 4096]):
                        assert read(FileBody(store, cid, [(start, stop)]), sizes) == PAINTED[start:stop], (
                            start,
                            stop,
                            sizes,
                        )


def test_what_stands_between_parts_comes_in_between(tmp_path):
    with shoal.Store(tmp_path / "store") as store:
        cid = store.add(PAINTED, profile="unixfs-v1-2025").cid
        parts = [b"first", (5, 3 * MIB), b"second", (3, 9), (0, len(PAINTED)), b"last"]
        wanted = b"first" + PAINTED[5 : 3 * MIB] + b"second" + PAINTED[3:9] + PAINTED + b"last"
        assert read(FileBody(store, cid, parts), [2 * MIB]) == wanted


def test_a_missing_leaf_is_an_error_and_what_came_before_it_is_right(tmp_path):
    with shoal.Store(tmp_path / "store") as store:
        cid = store.add(PAINTED, profile="unixfs-v1-2025", pin=False).cid
        leaf = [target for _, target, _ in store.refs(cid)][3]
        store.delete(leaf)
        body = FileBody(store, cid, [(0, len(PAINTED))])
        found = b""
        with pytest.raises((NotFound, Damaged)):
            while True:
                found += body.read(MIB)
        assert PAINTED.startswith(found)


@pytest.mark.parametrize("sizes", [[MIB, MIB + 1], [MIB, MIB - 1], [0, 2 * MIB], [2 * MIB, 0], [2**62, 2**62], [MIB]])
def test_a_node_that_lies_about_its_leaves_is_not_believed(tmp_path, sizes):
    """Its leaves are 1 MiB each. What the store says of it is what is said here: an error, or what the store itself reads."""
    with shoal.Store(tmp_path / "store") as store:
        leaves = [store.put(bytes([mark]) * MIB) for mark in (1, 2)]
        numbers = b"".join(b"\x20" + varint(size) for size in sizes)
        data = b"\x08\x02\x18" + varint(2 * MIB) + numbers
        links = [{"Hash": leaf, "Name": "", "Tsize": MIB} for leaf in leaves]
        root = store.put(shoal.dag_encode("dag-pb", {"Data": data, "Links": links}), codec="dag-pb")
        with pytest.raises((NotPlain, InvalidInput)):
            reader = Leaves(store, root, 0, 2 * MIB)
            while True:
                reader.read(MIB)
        try:
            wanted = store.read(root, 0, 2 * MIB)
        except Exception as error:
            with pytest.raises(type(error)):
                read(FileBody(store, root, [(0, 2 * MIB)]), [MIB])
        else:
            assert read(FileBody(store, root, [(0, len(wanted))]), [MIB]) == wanted


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
