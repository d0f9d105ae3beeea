"""go-car's archives through Python, held to the slow reader `tests/reference/car.py`.

Not here: what go-car says of each, which is `rust/core/tests/car_fixtures.rs`. `.ci/fixtures` fetches the data.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import shoal
import shoal.errors

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.interop

REFERENCE = Path(__file__).parent.parent / "reference"


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    """The oracle, which is a program of its own with modules beside it."""
    sys.path.insert(0, str(REFERENCE))
    try:
        spec = importlib.util.spec_from_file_location("car", REFERENCE / "car.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["car"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(REFERENCE))
        sys.modules.pop("car", None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[shoal.Store]:
    with shoal.Store(tmp_path / "store") as store:
        yield store


@pytest.mark.parametrize("name", ["sample-unixfs-v2.car", "sample-rw-bs-v2.car"])
def test_an_archive_is_taken_in_as_the_oracle_reads_it(name, store, fixtures_folder, reference):
    path = fixtures_folder / "cars" / name
    told = reference.decode(path.read_bytes())
    imported = store.dag.import_car(path, pin_roots=False)
    assert [bytes(root) for root in imported.roots] == told.roots
    assert imported.blocks == len(told.blocks)
    for cid, data in told.blocks:
        assert bytes(store.get_block(shoal.CID(cid))) == data


@pytest.mark.parametrize(
    "name",
    [
        "sample-corrupt-pragma.car",
        "sample-rootless-v42.car",
        "sample-v2-corrupt-data-and-index.car",
        "sample-v1-with-zero-len-section2.car",
    ],
)
def test_a_broken_archive_is_refused_with_nothing_kept(name, store, fixtures_folder):
    with pytest.raises(shoal.errors.ShoalError):
        store.dag.import_car(fixtures_folder / "cars" / name)
    assert store.stat().blocks == 0
