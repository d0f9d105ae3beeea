"""A CAR that becomes a part of the store, without a copy: from Python, in a node, and on the command line's terms."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

import shoal
from shoal import errors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def car(tmp_path: Path) -> tuple[Path, shoal.CID, bytes]:
    """A CAR of a file of some blocks, its root, and the file's content."""
    content = b"".join(number.to_bytes(4, "big") for number in range(900_000))
    with shoal.Store(tmp_path / "source") as source:
        added = source.add(io.BytesIO(content))
        path = tmp_path / "data.car"
        source.dag.export_car(added.cid, path)
    return path, added.cid, content


def test_moving_takes_the_file_into_the_store(tmp_path: Path, car) -> None:
    path, root, content = car
    inode = path.stat().st_ino
    with shoal.Store(tmp_path / "store") as store:
        imported = store.dag.import_car(path, adopt="move")
        assert (imported.roots, imported.pinned, imported.adopted) == ([root], True, "moved")
        assert imported.blocks == imported.new_blocks > 3
        assert not path.exists()
        assert inode in {pack.stat().st_ino for pack in (tmp_path / "store/packs").glob("*.car")}
        assert b"".join(store.cat(root)) == content
        assert store.verify().ok
    with shoal.Store(tmp_path / "store", read_only=True) as again:
        assert b"".join(again.cat(root)) == content


def test_linking_leaves_the_file_where_it_is(tmp_path: Path, car) -> None:
    path, root, content = car
    before = path.read_bytes()
    with shoal.Store(tmp_path / "store") as store:
        assert store.dag.import_car(path, adopt="link").adopted in {"linked", "cloned"}
        store.add(io.BytesIO(b"more"))
        assert b"".join(store.cat(root)) == content
    assert path.read_bytes() == before


def test_what_is_changed_under_its_other_name_is_found_and_not_served(tmp_path: Path, car) -> None:
    path, root, content = car
    with shoal.Store(tmp_path / "store") as store:
        is_one_file = store.dag.import_car(path, adopt="link").adopted == "linked"
        with path.open("r+b") as file:
            file.seek(path.stat().st_size - 1000)
            file.write(b"another 20 bytes now")
        if is_one_file:
            with pytest.raises(errors.Damaged):
                b"".join(store.cat(root))
        else:
            # The filesystem gave the store a file of its own.
            assert b"".join(store.cat(root)) == content
        assert store.verify().ok != is_one_file


@pytest.mark.parametrize("adopt", ["move", "link"])
def test_a_car_with_a_wrong_block_is_refused_and_stays(tmp_path: Path, car, adopt: str) -> None:
    path, root, _ = car
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with shoal.Store(tmp_path / "store") as store:
        with pytest.raises(errors.CarError):
            store.dag.import_car(path, adopt=adopt)
        assert not store.has(root)
        assert store.pins.ls() == []
        assert os.listdir(tmp_path / "store/packs") == []
    assert path.exists()


def test_only_a_version_1_file_can_be_adopted_and_the_error_says_what_to_do(tmp_path: Path, car) -> None:
    path, root, _ = car
    with shoal.Store(tmp_path / "store") as store:
        store.dag.import_car(path)
        store.dag.export_car(root, tmp_path / "v2.car", version=2)
        with pytest.raises(errors.CarError, match="without adopting"):
            store.dag.import_car(tmp_path / "v2.car", adopt="move")
        with pytest.raises(errors.InvalidInput, match="path"):
            store.dag.import_car(path.read_bytes(), adopt="move")
        with pytest.raises(errors.InvalidInput, match="move"):
            store.dag.import_car(path, adopt="copy")


@pytest.mark.anyio
async def test_a_node_adopts_too(tmp_path: Path, car) -> None:
    path, root, _ = car
    async with shoal.Node(tmp_path / "store") as node:
        assert (await node.dag.import_car(path, adopt="move")).adopted == "moved"
        assert await node.block.stat(root)
    assert not path.exists()
