"""pandas, pyarrow, xarray and zarr on a store: what they write is what they read by its CID, and nothing is made up for what is missing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

import shoal
from shoal.errors import Damaged, Incomplete
from shoal.filesystem import ShoalFileSystem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.interop


@pytest.fixture
def package(missing_counterpart):
    """Imports a package, or ends the test by name."""

    def find(name: str):
        try:
            return importlib.import_module(name)
        except ImportError:
            missing_counterpart(name, f"pip install {name.partition('.')[0]}, as .ci/tools.txt has it")

    return find


@pytest.fixture
def fs(tmp_path: Path) -> ShoalFileSystem:
    return ShoalFileSystem(tmp_path / "store", write=True, skip_instance_cache=True)


def blocks_of(fs: ShoalFileSystem, path: str) -> list[shoal.CID]:
    """The CIDs of a file's blocks, its root first."""
    root = shoal.CID(fs.ukey(path))
    return [root, *(child for _, child, _ in fs.store.refs(root, recursive=True))]


def without(fs: ShoalFileSystem, other: Path, missing: shoal.CID) -> ShoalFileSystem:
    """The same content in another store, but for one block."""
    with shoal.Store(other) as store:
        store.put_many((cid, bytes(fs.store.get_block(cid))) for cid in set(fs.store.refs_local()) - {missing})
    return ShoalFileSystem(other, skip_instance_cache=True)


@pytest.mark.parametrize("profile", ["blake3", "unixfs-v1-2025"])
def test_a_table_is_what_it_was(fs, package, profile):
    pandas, parquet, dataset = package("pandas"), package("pyarrow.parquet"), package("pyarrow.dataset")
    table = pandas.DataFrame({"n": range(200_000), "text": [f"row {n} {n * n}" for n in range(200_000)]})
    for part in range(3):
        with fs.open(f"tables/part={part}/rows.parquet", "wb") as file:
            table.to_parquet(file, row_group_size=20_000)
    table.to_csv("shoal://tables/rows.csv", index=False, storage_options={"store": fs.store.path, "write": True})
    root = fs.commit("tables", profile=profile)
    options = {"store": fs.store.path}

    again = pandas.read_parquet(f"shoal://{root}/part=1/rows.parquet", storage_options=options)
    pandas.testing.assert_frame_equal(again, table)
    again = pandas.read_csv(f"shoal://{root}/rows.csv", storage_options=options)
    pandas.testing.assert_frame_equal(again, table)
    with fs.open(f"{root}/part=0/rows.parquet") as file:
        group = parquet.ParquetFile(file).read_row_group(7, columns=["n"])
        assert group.column("n").to_pylist() == list(range(140_000, 160_000))
    every = dataset.dataset(str(root), filesystem=fs, format="parquet", partitioning="hive", exclude_invalid_files=True)
    assert every.count_rows() == 600_000
    assert every.to_table(filter=dataset.field("n") == 5).column("part").to_pylist() == [0, 1, 2]


def test_pyarrow_writes_a_dataset_to_a_draft(fs, package):
    pyarrow, dataset = package("pyarrow"), package("pyarrow.dataset")
    table = pyarrow.table({"kind": ["a", "b", "a"], "n": [1, 2, 3]})
    dataset.write_dataset(table, "draft/set", filesystem=fs, format="parquet", partitioning=["kind"])
    root = fs.commit("draft")
    found = dataset.dataset(f"{root}/set", filesystem=fs, format="parquet", partitioning=["kind"])
    assert sorted(found.to_table(columns=["n"]).column("n").to_pylist()) == [1, 2, 3]


def test_a_missing_or_damaged_block_of_a_table_is_an_error(fs, package, tmp_path):
    pandas = package("pandas")
    table = pandas.DataFrame({"text": [f"{n * 2654435761 % 4294967296:032x}" for n in range(200_000)]})
    with fs.open("tables/rows.parquet", "wb") as file:
        table.to_parquet(file, compression=None)
    path = f"{fs.commit('tables')}/rows.parquet"
    partial = without(fs, tmp_path / "other", blocks_of(fs, path)[2])
    with pytest.raises(Incomplete), partial.open(path) as file:
        pandas.read_parquet(file)
    [pack] = (tmp_path / "store" / "packs").glob("*.car")
    with pack.open("r+b") as file:
        file.seek(pack.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(Damaged), fs.open(path) as file:
        pandas.read_parquet(file)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_is_what_it_was_and_is_read_only(fs, package, tmp_path, zarr_format):
    zarr, numpy, storage = package("zarr"), package("numpy"), package("zarr.storage")
    values = numpy.arange(64 * 64, dtype="int32").reshape(64, 64)
    draft = storage.FsspecStore.from_url(
        "shoal://arrays/all.zarr", storage_options={"store": fs.store.path, "write": True}
    )
    group = zarr.create_group(draft, zarr_format=zarr_format)
    array = group.create_array("values", shape=(64, 64), chunks=(16, 16), dtype="int32", fill_value=7)
    array[:, :48] = values[:, :48]
    root = fs.commit("arrays")

    store = storage.FsspecStore.from_url(
        f"shoal://{root}/all.zarr", storage_options={"store": fs.store.path}, read_only=True
    )
    read = zarr.open_group(store, mode="r", zarr_format=zarr_format)["values"]
    # The last column of chunks was never written.
    assert (read[:, :48] == values[:, :48]).all()
    assert (read[:, 48:] == 7).all()
    assert (read[5, 10:60:7] == numpy.where(numpy.arange(10, 60, 7) < 48, values[5, 10:60:7], 7)).all()
    [chunk] = [path for path in fs.find(str(root)) if path.endswith(("values/1.1", "values/c/1/1"))]
    partial = without(fs, tmp_path / "other", shoal.CID(fs.ukey(chunk)))
    store = storage.FsspecStore.from_url(
        f"shoal://{root}/all.zarr", storage_options={"store": partial.store.path}, read_only=True
    )
    read = zarr.open_group(store, mode="r", zarr_format=zarr_format)["values"]
    assert (read[:16] == numpy.where(numpy.arange(64) < 48, values[:16], 7)).all()
    # A chunk whose block is not here is not one that was never written.
    with pytest.raises(Incomplete):
        read[16:32, 16:32]


def test_xarray_opens_a_dataset_by_its_cid(fs, package):
    xarray, numpy = package("xarray"), package("numpy")
    package("zarr")
    dataset = xarray.Dataset({"heat": (("day", "place"), numpy.arange(600.0).reshape(20, 30))}, {"day": range(20)})
    options = {"store": fs.store.path}
    dataset.to_zarr(
        "shoal://climate/daily.zarr", storage_options=options | {"write": True}, zarr_format=3, consolidated=False
    )
    address = f"shoal://{fs.commit('climate')}/daily.zarr"
    with xarray.open_zarr(address, storage_options=options, zarr_format=3, consolidated=False) as opened:
        xarray.testing.assert_identical(opened.load(), dataset)
