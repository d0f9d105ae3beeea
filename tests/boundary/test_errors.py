"""The exception tree: every class pickles with its details, fits a built-in, and is what Rust raises."""

import copy
import inspect
import pickle

import pytest

import shoal
from shoal import CID, errors

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.ShoalError)]


def test_all_of_them_are_exported():
    assert {cls.__name__ for cls in CLASSES} == set(errors.__all__)
    assert all(getattr(shoal, cls.__name__) is cls for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_survives_pickle_and_copy_with_its_details(cls):
    error = cls("what, where, what to do", cid=CID.of(b"x"), pid=7, name="entry", errno=28, filename="/a")
    error.add_note("a note")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == "what, where, what to do"
        assert (again.cid, again.pid, again.name, again.errno, again.filename) == (CID.of(b"x"), 7, "entry", 28, "/a")
        assert again.exit_code == cls.exit_code


def test_each_is_the_built_in_that_fits():
    fits = {
        "NotFound": KeyError,
        "InvalidInput": ValueError,
        "StoreFull": OSError,
        "StoreLocked": TimeoutError,
        "SourceError": OSError,
        "ExportError": OSError,
    }
    for name, base in fits.items():
        assert issubclass(getattr(errors, name), base)
    codes = {cls.__name__: cls.exit_code for cls in CLASSES}
    assert (codes["NotFound"], codes["Damaged"], codes["StoreLocked"], codes["InvalidInput"], codes["Cancelled"]) == (
        3,
        5,
        4,
        2,
        130,
    )


def test_rust_raises_these_very_classes(store, tmp_path):
    (tmp_path / "there").write_bytes(b"")
    file = store.add(b"a file").cid
    (tmp_path / "empty").mkdir()
    folder = store.add(tmp_path / "empty").cid
    reader = shoal.Store(store.path, read_only=True)
    calls = {
        errors.NotFound: lambda: store.get_block(CID.of(b"absent")),
        errors.InvalidCID: lambda: store.has("nothing"),
        errors.UnknownProfile: lambda: store.add(b"", profile="nothing"),
        errors.UnsupportedHash: lambda: store.put(b"", hash="md5"),
        errors.UnsupportedCodec: lambda: store.put(b"", codec="nothing"),
        errors.NotAFile: lambda: store.read(folder),
        errors.NotADirectory: lambda: next(store.ls(file)),
        errors.SourceError: lambda: store.add(tmp_path / "absent"),
        errors.ExportError: lambda: store.get(file, tmp_path / "there"),
        errors.NotPinned: lambda: store.pins.rm(CID.of(b"absent")),
        errors.Pinned: lambda: store.delete(file),
        errors.ReadOnly: lambda: reader.put(b""),
        errors.StoreFormat: lambda: shoal.Store(tmp_path / "nowhere", read_only=True),
        errors.CarError: lambda: store.dag.import_car(b"\x00not a car" * 10),
        errors.StoreError: lambda: (reader.close(), reader.stat()),
        errors.InvalidInput: lambda: store.read(file, -1),
    }
    for cls, call in calls.items():
        with pytest.raises(cls) as caught:
            call()
        assert type(caught.value) is cls, caught.value
        assert str(caught.value)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_damage_is_named_and_never_read(tmp_path, painted):
    data = painted(3 << 20)
    with shoal.Store(tmp_path / "store") as store:
        added = store.add(data)
    pack = next((tmp_path / "store" / "packs").glob("*.car"))
    content = bytearray(pack.read_bytes())
    content[content.index(data[1_500_000:1_500_100])] ^= 1
    pack.write_bytes(content)
    with shoal.Store(tmp_path / "store") as store:
        assert store.read(added.cid, 0, 1 << 20) == data[: 1 << 20]
        calls = [
            lambda: store.read(added.cid),
            lambda: b"".join(store.cat(added.cid)),
            lambda: store.get(added.cid, tmp_path / "out"),
            lambda: store.dag.export_car(added.cid, tmp_path / "out"),
            lambda: store.open(added.cid).read_at(1_500_000, 1),
        ]
        for call in calls:
            with pytest.raises(errors.Damaged) as caught:
                call()
            assert caught.value.cid is not None
            assert not (tmp_path / "out").exists()
        report = store.verify()
        assert not report.ok
        assert [damage.cid for damage in report.damaged] == [caught.value.cid]
        assert report.roots == [added.cid]
        assert store.add(data).cid == added.cid, "adding it again heals it"
        assert store.read(added.cid) == data
