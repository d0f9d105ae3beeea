"""Blobs through Python: one CID for a whole file, parts that prove themselves, and blobs that are here in part."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

import shoal
from shoal import CID, Presence, Profile, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

BLOB = Profile.BLAKE3.replace(layout="blob")
GROUP = 16 * 1024
SIZE = 5 * 1024 * 1024 + 17


@pytest.fixture
def other(tmp_path: Path) -> shoal.Store:
    return shoal.Store(tmp_path / "other")


@pytest.fixture
def data(painted: Callable[[int], bytes]) -> bytes:
    return painted(SIZE)


def test_a_blob_is_named_by_the_hash_of_the_whole_file_and_reads_like_any_file(
    store: shoal.Store, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    added = store.add(tmp_path / "file", profile=BLOB)
    assert added.cid == store.add(data, profile=BLOB).cid == store.add(iter([data]), profile=BLOB).cid
    assert (added.bytes, added.new_blocks, added.cid.codec, added.cid.hash) == (SIZE, 1, "raw", "blake3")
    assert store.size(added.cid) == SIZE
    assert store.has(added.cid)
    with store.open(added.cid) as file:
        assert file.size == SIZE
        assert file.read_at(GROUP - 3, 10) == data[GROUP - 3 : GROUP + 7]
        file.seek(-5, 2)
        assert file.read() == data[-5:]
    assert b"".join(store.cat(added.cid)) == data
    assert store.read(added.cid, 100, 3 * 1024 * 1024) == data[100 : 100 + 3 * 1024 * 1024]
    store.get(added.cid, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    stat = store.stat()
    assert (stat.blobs, stat.blob_bytes, stat.blocks) == (1, SIZE, 0)
    assert list(store.refs_local()) == list(store.blob.ls()) == [added.cid]
    assert store.dag.stat(added.cid).bytes == SIZE
    assert store.stat_path(added.cid).size == SIZE
    assert store.verify().ok


def test_a_blob_is_not_a_block_and_says_what_to_do(store: shoal.Store, data: bytes) -> None:
    cid = store.add(data, profile=BLOB).cid
    with pytest.raises(errors.InvalidInput, match="cat"):
        store.get_block(cid)
    with pytest.raises(errors.InvalidInput, match="balanced"):
        store.dag.export_car(cid, io.BytesIO())
    with pytest.raises(errors.InvalidInput, match="mode"):
        store.add(data, profile=BLOB, mode=0o644)
    with pytest.raises(errors.InvalidInput, match="blake3"):
        Profile.UNIXFS_V1_2025.replace(layout="blob")


def test_a_blob_goes_when_nothing_keeps_it(store: shoal.Store, data: bytes) -> None:
    cid = store.add(data, profile=BLOB).cid
    with pytest.raises(errors.Pinned):
        store.delete(cid)
    assert store.gc().blocks == 0
    store.pins.rm(cid)
    assert (store.gc(dry_run=True).bytes, store.gc().bytes, store.has(cid)) == (SIZE, SIZE, False)
    store.add(data, profile=BLOB, pin=False)
    assert store.delete(cid)
    with pytest.raises(errors.NotFound):
        store.open(cid)


def test_a_part_is_taken_in_and_read_while_the_rest_is_missing(
    store: shoal.Store, other: shoal.Store, data: bytes, tmp_path: Path
) -> None:
    cid = store.add(data, profile=BLOB).cid
    ranges = [(0, 1), (3 * GROUP, GROUP + 1)]
    out = io.BytesIO()
    assert store.blob.export_slice(cid, out, ranges) == len(out.getvalue())
    assert other.blob.present(cid) is None
    found = other.blob.import_slice(cid, out.getvalue(), ranges)
    here = [(0, GROUP), (3 * GROUP, 2 * GROUP)]
    assert found == other.blob.present(cid) == Presence(SIZE, 3 * GROUP, here)
    assert not found.whole
    assert not other.has(cid)
    assert other.read(cid, 3 * GROUP, 100) == data[3 * GROUP : 3 * GROUP + 100]
    with pytest.raises(errors.NotFound, match="part"):
        other.read(cid, GROUP, 1)
    # And given on.
    again = io.BytesIO()
    other.blob.export_slice(cid, again, ranges)
    assert again.getvalue() == out.getvalue()
    with pytest.raises(errors.NotFound):
        other.blob.export_slice(cid, again)
    store.blob.export_slice(cid, tmp_path / "whole.slice")
    assert other.blob.import_slice(cid, tmp_path / "whole.slice").whole
    assert (other.read(cid), other.stat().blobs, len(other.pins.ls())) == (data, 1, 1)


def test_a_slice_that_lies_is_refused(store: shoal.Store, other: shoal.Store, data: bytes) -> None:
    cid = store.add(data, profile=BLOB).cid
    out = io.BytesIO()
    store.blob.export_slice(cid, out)
    bad = bytearray(out.getvalue())
    bad[-1] ^= 1
    with pytest.raises(errors.InvalidInput, match="hash"):
        other.blob.import_slice(cid, bytes(bad))
    with pytest.raises(errors.InvalidInput, match="early"):
        other.blob.import_slice(cid, out.getvalue()[:-1])
    assert not other.has(cid)
    assert other.blob.discard(cid)
    assert not other.blob.discard(cid)
    with pytest.raises(errors.UnsupportedHash):
        other.blob.import_slice(CID.of(b"x"), out.getvalue())


def test_plain_data_are_checked_along_an_outboard(store: shoal.Store, other: shoal.Store, data: bytes) -> None:
    cid = store.add(data, profile=BLOB).cid
    out = io.BytesIO()
    store.blob.export_outboard(cid, out)
    other.blob.import_outboard(cid, SIZE, out.getvalue())
    with pytest.raises(errors.InvalidInput, match="tree"):
        other.blob.import_data(cid, b"x" * SIZE)
    assert other.blob.import_data(cid, data).whole
    assert other.read(cid) == data


async def test_a_node_has_the_same_verbs(node: shoal.Node, tmp_path: Path, data: bytes) -> None:
    cid = (await node.add(data, profile=BLOB)).cid
    assert await node.blob.ls() == [cid]
    await node.blob.export_slice(cid, tmp_path / "slice", [(0, 1)])
    await node.blob.export_outboard(cid, tmp_path / "outboard")
    async with shoal.Node(tmp_path / "second") as second:
        assert await second.blob.present(cid) is None
        found = await second.blob.import_slice(cid, tmp_path / "slice", [(0, 1)])
        assert found.ranges == [(0, GROUP)]
        await second.blob.import_outboard(cid, SIZE, tmp_path / "outboard")
        assert (await second.blob.import_data(cid, data[GROUP:], offset=GROUP)).whole
        assert not await second.blob.discard(cid)


def test_many_ranges_of_a_blob_come_with_one_call(store: shoal.Store, data: bytes) -> None:
    with store.open(store.add(data, profile=BLOB).cid) as file:
        places = [0, 1, GROUP - 1, 4 * 1024 * 1024 - 2, SIZE - 3, SIZE, SIZE + 9, GROUP]
        found = file.read_ranges([(place, 4096) for place in places])
        assert found == [data[place : place + 4096] for place in places]
