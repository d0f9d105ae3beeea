"""The store's verbs from Python: every kind of source has the CID of the file, callbacks hear of it, and what fails keeps nothing."""

import io
import os
import pickle
import stat

import pytest

import shoal
from shoal import CID, Profile
from shoal.errors import CarError, InvalidInput, NotFound, NotPinned, Pinned, SourceError, StoreError

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path, painted):
    root = tmp_path / "tree"
    (root / "inner" / "empty").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"first\nsecond\nthird")
    (root / "inner" / "big").write_bytes(painted(5 * MIB))
    (root / ".hidden").write_bytes(b"dot")
    (root / "skip.pyc").write_bytes(b"skip")
    (root / "link").symlink_to("inner/big")
    (root / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"odd")
    return root


RABIN = Profile.BLAKE3.replace(chunker="rabin")


@pytest.mark.parametrize(
    ("profile", "size"),
    [
        # Around one chunk, and around what is cut and hashed together.
        *(
            (name, size)
            for name in ("blake3", "unixfs-v1-2025")
            for size in (0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 16 * MIB, 32 * MIB, 33 * MIB + 7)
        ),
        *(("unixfs-v0-2015", size) for size in (0, 1, MIB // 4, 4 * MIB, 4 * MIB + 1)),
        *((RABIN, size) for size in (0, 1, 4 * MIB, 4 * MIB + 1)),
        *(("blake3-cdc", size) for size in (0, 1, 87_380, 87_381, 87_382, 4 * MIB, 4 * MIB + 1, 13 * MIB)),
    ],
    ids=str,
)
def test_every_kind_of_source_has_the_cid_of_the_file(store, tmp_path, painted, profile, size):
    data = painted(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    added = store.add(path, profile=profile)
    assert (added.bytes, added.files, added.kind, added.name, added.stored) == (size, 1, "file", "file", True)

    def pieces(length):
        return (data[start : start + length] for start in range(0, size, length))

    with path.open("rb") as buffered, path.open("rb", buffering=0) as unbuffered:
        sources = {
            "str": str(path),
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "BytesIO": io.BytesIO(data),
            "file": buffered,
            "raw file": unbuffered,
            "pieces": pieces(100_003),
            "pieces of 4 MiB": pieces(4 * MIB),
            "views": map(memoryview, pieces(70_000)),
        }
        for name, source in sources.items():
            assert store.add(source, profile=profile).cid == added.cid, name
            assert store.add(data, profile=profile, only_hash=True).cid == added.cid
    assert store.read(added.cid) == data
    assert b"".join(store.cat(added.cid)) == data


def test_a_file_object_is_read_from_where_it_stands_to_its_end(store):
    source = io.BytesIO(b"skipped,added")
    source.seek(8)
    assert store.read(store.add(source).cid) == b"added"
    assert source.read() == b""


def test_tiny_pieces_are_gathered(store):
    added = store.add(bytes([n % 251]) for n in range(200_000))
    assert store.read(added.cid) == bytes(n % 251 for n in range(200_000))


def test_only_hash_stores_nothing(store, tree):
    added = store.add(tree, only_hash=True)
    assert not added.stored
    assert store.stat().blocks == 0
    assert not store.pins.ls()
    assert store.add(tree).cid == added.cid


def test_a_second_add_stores_nothing(store, tree):
    first, second = store.add(tree), store.add(tree)
    assert first.new_blocks > 0
    assert first.new_bytes > 5 * MIB
    assert (second.cid, second.new_blocks, second.new_bytes) == (first.cid, 0, 0)


def test_every_entry_is_heard_of_children_first(store, tree):
    heard = []
    added = store.add(tree, hidden=True, on_entry=heard.append)
    names = [entry.name for entry in heard]
    assert names[-1] == "tree"
    assert heard[-1].cid == added.cid
    assert set(names) >= {
        "tree/a.txt",
        "tree/inner/big",
        "tree/inner/empty",
        "tree/inner",
        "tree/.hidden",
        "tree/link",
        "tree/not-utf8-\udcff",
    }
    assert names.index("tree/inner/big") < names.index("tree/inner")
    kinds = {entry.name: entry.kind for entry in heard}
    assert (kinds["tree/link"], kinds["tree/inner"], kinds["tree/a.txt"]) == ("symlink", "directory", "file")
    assert sum(entry.bytes for entry in heard if entry.kind == "file") == added.bytes


def test_options_decide_what_is_in_the_directory(store, tree, tmp_path):
    def names(**options):
        return {entry.path for entry in store.ls(store.add(tree, **options).cid, recursive=True)}

    usual = names()
    assert "a.txt" in usual
    assert ".hidden" not in usual
    assert "inner/empty" in usual
    assert ".hidden" in names(hidden=True)
    assert "skip.pyc" not in names(ignore=["*.pyc"])
    rules = tmp_path / "rules"
    rules.write_text("inner/\n")
    assert "inner" not in names(ignore_files=[rules])
    assert "inner/empty" not in names(empty_dirs=False)
    assert {entry.kind for entry in store.ls(store.add(tree, dereference_symlinks=True).cid)} == {"file", "directory"}
    assert names(wrap=True) == {"tree"} | {f"tree/{name}" for name in usual}


def test_mode_and_mtime_are_kept_when_asked(store, tree):
    os.utime(tree / "a.txt", ns=(0, 1_700_000_000_250_000_000))
    os.chmod(tree / "a.txt", 0o640)
    added = store.add(tree, preserve_mode=True, preserve_mtime=True)
    entry = next(entry for entry in store.ls(added.cid) if entry.name == "a.txt")
    assert (entry.mode, entry.mtime) == (0o640, 1_700_000_000.25)
    entry = store.stat_path(store.add(b"x", mode=0o600, mtime=-1.5).cid)
    assert (entry.mode, entry.mtime) == (0o600, -1.5)
    store.get(added.cid, tree.parent / "copy")
    assert stat.S_IMODE((tree.parent / "copy" / "a.txt").stat().st_mode) == 0o640
    for wrong in ({"mode": -1}, {"mode": 0o10000}, {"mtime": float("nan")}, {"mtime": 1e300}):
        with pytest.raises(InvalidInput):
            store.add(b"x", **wrong)


def test_several_paths_are_added_as_one(store, tree):
    added = store.add_many([tree / "a.txt", tree / "inner"])
    assert [entry.name for entry in added] == ["a.txt", "inner"]
    (wrapped,) = store.add_many([tree / "a.txt", tree / "inner"], wrap=True)
    assert {entry.name: entry.cid for entry in store.ls(wrapped.cid)} == {entry.name: entry.cid for entry in added}
    assert store.add_many([]) == []
    before = store.stat().blocks
    with pytest.raises(SourceError):
        store.add_many([tree / ".hidden", tree / "absent"])
    assert store.stat().blocks == before
    with pytest.raises(TypeError):
        store.add_many([tree], nothing=1)


def test_a_name_can_be_given(store, tree):
    assert store.add(b"x", name="x.txt").name == "x.txt"
    assert [entry.name for entry in store.ls(store.add(b"x", name="x.txt", wrap=True).cid)] == ["x.txt"]
    with (tree / "a.txt").open("rb") as file:
        assert store.add(file).name == "a.txt"
    heard = []
    assert store.add(tree / "inner", name="renamed", on_entry=heard.append).name == "renamed"
    assert "renamed/big" in {entry.name for entry in heard}
    nameless = store.add(b"x", wrap=True)
    assert [entry.name for entry in store.ls(nameless.cid)] == [str(store.add(b"x").cid)], "as Kubo does"


class Stop(Exception):
    pass


@pytest.mark.parametrize("hook", ["on_entry", "progress"])
def test_an_exception_in_a_callback_stops_the_add_and_nothing_is_kept(store, tree, hook):
    def stop(_what):
        raise Stop

    with pytest.raises(Stop):
        store.add(tree, **{hook: stop})
    # What ended before the first callback came through may be durable already; then it is whole.
    if store.stat().blocks:
        assert store.pins.ls()
        assert store.verify().ok


def test_a_source_that_fails_half_way_keeps_nothing(store, painted):
    def pieces():
        for n in range(30):
            yield painted(MIB, str(n))
        raise Stop

    with pytest.raises(Stop):
        store.add(pieces())
    assert store.stat().blocks == 0
    with pytest.raises(TypeError):
        store.add([b"x", "text"])
    with pytest.raises(TypeError):
        store.add(io.StringIO("text"))
    for wrong in (7, None, object()):
        with pytest.raises(TypeError):
            store.add(wrong)
    assert store.stat().blocks == 0


def test_progress_ends_with_all_of_it(store, tree, tmp_path):
    heard = []
    added = store.add(tree, progress=heard.append)
    assert heard[-1].phase == "add"
    assert heard[-1].bytes == added.bytes
    store.get(added.cid, tmp_path / "out", progress=heard.append)
    assert (heard[-1].phase, heard[-1].bytes) == ("get", added.bytes)


def test_a_directory_comes_back_as_it_was(store, tree, tmp_path):
    added = store.add(tree, hidden=True)
    exported = store.get(added.cid, tmp_path / "out")
    assert exported.path == str(tmp_path / "out")
    assert exported.bytes == added.bytes
    for folder, _folders, files in os.walk(tree):
        for name in files:
            path = os.path.join(folder, name)
            copy = os.path.join(tmp_path / "out", os.path.relpath(path, tree))
            if os.path.islink(path):
                assert os.readlink(copy) == os.readlink(path)
            else:
                with open(path, "rb") as ours, open(copy, "rb") as theirs:
                    assert ours.read() == theirs.read()


def test_get_without_target_uses_the_last_name(store, tree, tmp_path, monkeypatch):
    added = store.add(tree)
    monkeypatch.chdir(tmp_path)
    assert store.get(added.cid / "inner/big").path == str(tmp_path / "big")
    assert store.get(added.cid / "a.txt", "there").files == 1
    cid = store.add(b"x").cid
    assert store.get(cid).path == str(tmp_path / str(cid))
    assert (tmp_path / str(cid)).read_bytes() == b"x"


def test_a_file_behaves_as_a_binary_file(store, painted):
    data = painted(3 * MIB + 5)
    with store.open(store.add(data).cid) as file:
        assert (file.size, file.readable(), file.seekable(), file.writable(), file.tell()) == (
            len(data),
            True,
            True,
            False,
            0,
        )
        assert file.read(10) == data[:10]
        assert file.seek(-5, os.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.read(1) == b""
        assert file.seek(10, os.SEEK_SET) == 10
        assert file.seek(5, os.SEEK_CUR) == 15
        assert file.tell() == 15
        buffer = bytearray(MIB)
        assert file.readinto(buffer) == MIB
        assert buffer == data[15 : 15 + MIB]
        assert file.readinto(bytearray()) == 0
        assert file.seek(10 * MIB) == 10 * MIB
        assert file.read(5) == b""
        assert file.readinto(bytearray(5)) == 0
        assert file.read_at(MIB - 3, 6) == data[MIB - 3 : MIB + 3]
        assert file.read_at(10 * MIB, 1) == b""
        for wrong in ((-1, 0), (0, 7)):
            with pytest.raises(ValueError, match="position|whence"):
                file.seek(*wrong)
        file.seek(0)
        with pytest.raises(InvalidInput):
            file.readinto(memoryview(b"read-only"))
    for call in (file.read, file.tell, file.readable, lambda: file.seek(0), lambda: file.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_lines_and_wrappers_of_the_standard_library_work(store, tree):
    added = store.add(tree)
    with store.open(added.cid / "a.txt") as file:
        assert list(file) == [b"first\n", b"second\n", b"third"]
    with io.TextIOWrapper(io.BufferedReader(store.open(added.cid / "a.txt")), encoding="ascii") as text:
        assert text.read() == "first\nsecond\nthird"
    lines = b"\n".join(b"%d" % n for n in range(100_000))
    with store.open(store.add(lines).cid) as file:
        assert sum(1 for _ in file) == 100_000


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, None), (0, 0), (5, 10), (MIB - 1, 2), (MIB, MIB), (3 * MIB, 100), (3 * MIB - 1, 100), (0, 10**18)],
)
def test_ranges_are_what_they_say(store, painted, tmp_path, offset, length):
    data = painted(3 * MIB)
    cid = store.add(data, profile="unixfs-v0-2015").cid
    expected = data[offset:] if length is None else data[offset : offset + length]
    assert store.read(cid, offset, length) == expected
    assert b"".join(store.cat(cid, offset=offset, length=length)) == expected
    memory = io.BytesIO()
    assert store.cat(cid, memory, offset=offset, length=length) == len(expected)
    assert memory.getvalue() == expected
    with (tmp_path / "out").open("wb") as out:
        out.write(b"before")
        assert store.cat(cid, out, offset=offset, length=length) == len(expected)
        out.write(b"after")
    assert (tmp_path / "out").read_bytes() == b"before" + expected + b"after"


def test_cat_says_at_once_what_is_not_there(store):
    with pytest.raises(NotFound):
        store.cat(CID.of(b"absent"))
    with pytest.raises(InvalidInput):
        store.cat(CID.of(b"absent"), offset=-1)


def test_a_listing_can_be_shallow_deep_or_quick(store, tree):
    added = store.add(tree)
    shallow = {entry.name: entry for entry in store.ls(added.cid)}
    assert shallow["inner"].kind == "directory"
    assert shallow["a.txt"].size == 18
    assert shallow["link"].target == "inner/big"
    assert "not-utf8-\udcff" in shallow
    assert "inner/big" in {entry.path for entry in store.ls(added.cid, recursive=True)}
    quick = list(store.ls(added.cid, resolve=False))
    assert {entry.kind for entry in quick} == {"unknown"}
    assert {entry.cid for entry in quick} == {entry.cid for entry in shallow.values()}
    assert store.stat_path(added.cid / "inner/big").size == 5 * MIB
    assert store.resolve(f"/ipfs/{added.cid}/inner/big") == (store.stat_path(added.cid / "inner/big").cid, "")
    assert store.read(added.cid / "not-utf8-\udcff") == b"odd"


def test_a_large_directory_is_listed_whole(store, tmp_path):
    (tmp_path / "many").mkdir()
    for n in range(6000):
        (tmp_path / "many" / f"entry-{n:05}-with-a-name-long-enough-to-shard").touch()
    added = store.add(tmp_path / "many")
    assert len({entry.name for entry in store.ls(added.cid)}) == 6000
    assert store.stat_path(added.cid / "entry-03333-with-a-name-long-enough-to-shard").kind == "file"


def test_pins_are_set_listed_and_removed(store, tree):
    added = store.add(tree, pin_name="my tree")
    store.add(tree)
    (pin,) = store.pins.ls()
    assert (pin.cid, pin.kind, pin.name) == (added.cid, "recursive", "my tree"), (
        "adding it again without a name keeps the name"
    )
    assert store.pin is store.pins
    leaf = store.put(b"leaf", pin=True)
    assert store.pins.ls(kind="direct")[0].cid == leaf
    assert store.pins.ls(cid=leaf)[0].kind == "direct"
    assert store.pins.ls(name="tree")[0].cid == added.cid
    assert store.pins.ls(name="nothing") == []
    assert store.stat_path(added.cid / "inner").cid in {pin.cid for pin in store.pins.ls(kind="indirect")}
    assert len(store.pins.ls(kind="all")) > 5
    with pytest.raises(Pinned):
        store.pins.add(added.cid, recursive=False)
    assert store.pins.add(added.cid / "inner", name="inner") == store.stat_path(added.cid / "inner").cid
    store.pins.rm(added.cid)
    with pytest.raises(NotPinned):
        store.pins.rm(added.cid)
    with pytest.raises(InvalidInput):
        store.pins.ls(kind="nothing")
    with pytest.raises(NotFound):
        store.pins.add(store.dag.put({"link": CID.of(b"absent")}))


def test_what_no_pin_keeps_is_collected(store, tree, painted):
    kept = store.add(tree)
    store.add(painted(3 * MIB, "unkept"), pin=False)
    dry = store.gc(dry_run=True)
    assert dry.dry_run
    assert dry.blocks == 4
    done = store.gc()
    assert (done.blocks, done.bytes, done.kept_blocks, done.dry_run) == (dry.blocks, dry.bytes, dry.kept_blocks, False)
    assert store.verify().ok
    assert store.read(kept.cid / "a.txt")
    assert store.gc().blocks == 0


def test_links_are_listed(store, tree):
    added = store.add(tree)
    direct = list(store.refs(added.cid))
    assert {parent for parent, _, _ in direct} == {added.cid}
    assert "a.txt" in {name for _, _, name in direct}
    deep = list(store.refs(added.cid, recursive=True))
    assert len(deep) > len(direct)
    assert list(store.refs(added.cid, recursive=True, depth_max=1)) == direct
    children = [child for _, child, _ in store.refs(added.cid, recursive=True, unique=True)]
    assert len(children) == len(set(children))


def test_a_dag_goes_out_and_in_as_a_car(store, tree, tmp_path):
    added = store.add(tree)
    stat = store.dag.stat(added.cid)
    assert stat.blocks == len({child for _, child, _ in store.refs(added.cid, recursive=True)}) + 1
    for version in (1, 2):
        path = tmp_path / f"v{version}.car"
        size = store.dag.export_car(added.cid, path, version=version)
        assert path.stat().st_size == size
        assert b"".join(store.dag.export_car(added.cid, version=version)) == path.read_bytes()
        memory = io.BytesIO()
        assert store.dag.export_car(added.cid, memory, version=version) == size
        assert memory.getvalue() == path.read_bytes()
        with (tmp_path / "fd").open("wb") as out:
            assert store.dag.export_car(added.cid, out.fileno(), version=version) == size
        for number, source in enumerate((path, path.open("rb"), io.BytesIO(path.read_bytes()))):
            with shoal.Store(tmp_path / f"other-{version}-{number}") as other:
                imported = other.dag.import_car(source)
                assert (imported.roots, imported.blocks, imported.new_blocks) == ([added.cid], stat.blocks, stat.blocks)
                assert other.pins.ls()[0].cid == added.cid
                assert other.verify().ok
                assert other.dag.import_car(path, pin_roots=False).new_blocks == 0
            if not isinstance(source, type(path)):
                source.close()


def test_an_export_that_fails_leaves_nothing_behind(store, tmp_path):
    root = store.dag.put({"link": CID.of(b"absent")})
    (tmp_path / "old.car").write_bytes(b"old")
    with pytest.raises(NotFound):
        store.dag.export_car(root, tmp_path / "old.car")
    assert (tmp_path / "old.car").read_bytes() == b"old"
    assert [path for path in tmp_path.iterdir() if "partial" in path.name] == []
    with pytest.raises(NotFound):
        list(store.dag.export_car(root))
    with pytest.raises(InvalidInput):
        store.dag.export_car(root, version=3)
    with pytest.raises(OSError, match="cannot write"):
        store.dag.export_car(root, tmp_path / "no" / "such" / "folder.car")


def test_an_export_can_be_left_half_way(store, painted):
    pieces = store.dag.export_car(store.add(painted(20 * MIB)).cid)
    assert next(pieces)
    pieces.close()


def test_a_lying_or_cut_car_is_refused_whole(store, tmp_path, painted):
    with shoal.Store(tmp_path / "other") as other:
        data = painted(3 * MIB)
        car = b"".join(other.dag.export_car(other.add(data).cid))
    lying = bytearray(car)
    lying[-10] ^= 1
    for wrong in (bytes(lying), car[:-1], car[: len(car) // 2], b"", b"\x00", b"nonsense" * 100):
        with pytest.raises(CarError):
            store.dag.import_car(io.BytesIO(wrong))
    assert store.stat().blocks == 0
    with pytest.raises(SourceError):
        store.dag.import_car(tmp_path / "absent.car")


def test_a_store_pickles_by_its_path_and_settings(store):
    cid = store.put(b"x")
    with pickle.loads(pickle.dumps(store)) as again:
        assert again.path == store.path
        assert bytes(again.get_block(cid)) == b"x"
    with (
        shoal.Store(store.path, read_only=True) as reader,
        pickle.loads(pickle.dumps(reader)) as again,
        pytest.raises(shoal.ReadOnly),
    ):
        again.put(b"y")


def test_the_path_comes_from_the_environment_or_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOAL_PATH", str(tmp_path / "from-environment"))
    assert shoal.Store().path == str(tmp_path / "from-environment")
    monkeypatch.delenv("SHOAL_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shoal.Store().path == str(tmp_path / ".shoal")
    assert shoal.Store("~/mine").path == str(tmp_path / "mine")


def test_a_closed_store_says_so(store):
    store.close()
    store.close()
    for call in (store.stat, lambda: store.put(b""), lambda: store.add(b""), lambda: store.has(CID.of(b""))):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "somebody's file").touch()
    (tmp_path / "file").touch()
    for path in ("full", "file"):
        with pytest.raises(StoreError):
            shoal.Store(tmp_path / path)
    for wrong in (-1.0, float("nan"), float("inf"), 1e300):
        with pytest.raises(InvalidInput):
            shoal.Store(tmp_path / "store", lock_wait=wrong)


def test_the_functions_that_measure_give_seconds():
    from shoal import _core

    assert 0 < _core.bench_hash("blake3", 10 * MIB, 2) < 10
    assert 0 < _core.bench_hash("sha2-256", 10 * MIB) < 10
    assert 0 < _core.bench_chunk("buzhash", 10 * MIB) < 10
    assert 0 < _core.bench_chunk("mincdc", 10 * MIB) < 10
    for wrong in (
        lambda: _core.bench_hash("blake3", 0, 1),
        lambda: _core.bench_hash("blake3", 1, 0),
        lambda: _core.bench_chunk("no", 1),
    ):
        with pytest.raises(InvalidInput):
            wrong()


def test_a_small_add_does_not_wait_for_the_watch(store):
    """Bytes once waited for the first slice of 50 ms before they were asked for."""
    import time

    fastest = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        store.add(b"small", only_hash=True)
        fastest = min(fastest, time.perf_counter() - begun)
    assert fastest < 0.03
