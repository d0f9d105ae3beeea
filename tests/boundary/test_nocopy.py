"""Files left where they are, from Python: `add(nocopy=True)` and `references`, on the store and on the node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoal import Damaged, InvalidInput, Node, Store
from shoal.errors import NotFound

CONTENT = bytes(range(251)) * 20_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_read_from_where_it_is(store: Store, source: Path) -> None:
    added = store.add(source, nocopy=True)
    assert added.cid == store.add(source, only_hash=True).cid
    assert store.read(added.cid) == CONTENT
    assert store.read(added.cid, 3_000_000, 10) == CONTENT[3_000_000:3_000_010]
    stat = store.stat()
    assert (stat.references, stat.reference_bytes) == (5, len(CONTENT))
    assert stat.bytes < 1000
    [entry] = store.references.ls()
    assert (entry.path, entry.size, entry.blocks, entry.bytes) == (str(source), len(CONTENT), 5, len(CONTENT))
    assert entry.mtime == pytest.approx(source.stat().st_mtime)


def test_a_changed_file_is_named(store: Store, source: Path) -> None:
    cid = store.add(source, nocopy=True).cid
    assert store.references.check().ok
    with source.open("ab") as file:
        file.write(b"more")
    with pytest.raises(Damaged, match=r"data \(byte 0\), and that file became longer") as caught:
        store.read(cid)
    assert caught.value.filename == str(source) or str(source) in str(caught.value)
    report = store.references.check()
    assert not report.ok
    assert [(each.path, each.offset) for each in report.changed] == [(str(source), None)]
    verified = store.verify()
    assert {damage.path for damage in verified.damaged} == {str(source)}
    assert verified.roots == [cid]
    forgotten = store.references.forget(changed=True)
    assert (forgotten.paths, forgotten.blocks) == ([str(source)], 5)
    with pytest.raises(NotFound):
        store.read(cid)


def test_a_byte_that_no_clock_tells_of_is_found_by_reading(store: Store, source: Path) -> None:
    store.add(source, nocopy=True)
    before = source.stat()
    with source.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"\xff")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.references.check().ok
    [changed] = store.references.check(full=True).changed
    assert (changed.offset, changed.reason) == (1_048_576, "holds other bytes than it did")


def test_files_are_forgotten_by_the_paths_they_were_added_by(
    store: Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    store.add("data", nocopy=True)
    with pytest.raises(InvalidInput, match="either paths, or changed"):
        store.references.forget()
    with pytest.raises(TypeError):
        store.references.forget("data")
    assert store.references.forget(["nothing"]).paths == []
    assert store.references.forget(["data"]).paths == [str(source)]
    assert store.references.ls() == []


def test_gc_drops_what_no_pin_keeps_and_leaves_the_file(store: Store, source: Path) -> None:
    store.add(source, nocopy=True, pin=False)
    assert store.gc(dry_run=True).references_dropped == 5
    assert store.gc().references_dropped == 5
    assert store.references.ls() == []
    assert source.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"profile": "unixfs-v0-2015"}, "blake3, blake3-cdc and unixfs-v1-2025"),
        ({"preserve_mtime": True}, "without modes and times"),
    ],
)
def test_what_cannot_be_left_in_place_is_refused(store: Store, source: Path, keywords, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        store.add(source, nocopy=True, **keywords)
    with pytest.raises(InvalidInput, match="no place"):
        store.add(b"content", nocopy=True)
    assert store.stat().blocks == 0


@pytest.mark.anyio
async def test_the_node_has_the_same_verbs(store: Store, source: Path) -> None:
    async with Node(store) as node:
        added = await node.add(source, nocopy=True)
        assert await node.read(added.cid, 0, 100) == CONTENT[:100]
        assert [entry.path for entry in await node.references.ls()] == [str(source)]
        assert (await node.references.check(full=True)).ok
        assert (await node.references.forget([source])).blocks == 5
