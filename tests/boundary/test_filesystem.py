"""What stands below a CID, read through fsspec: the same bytes as by `Store`, the right error for what is not there, nothing written."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import Callback

import shoal
from shoal.errors import Damaged, Incomplete, InvalidInput
from shoal.filesystem import ShoalFileSystem

KIB = 1024
BLOCK = 64 * KIB
SMALL = shoal.Profile.BLAKE3.replace(chunker=f"size-{BLOCK}", file_links_max=4, hamt_threshold_bytes=200)
PROFILES = [
    shoal.Profile.BLAKE3,
    shoal.Profile.BLAKE3_CDC,
    shoal.Profile.UNIXFS_V1_2025,
    shoal.Profile.UNIXFS_V0_2015,
    SMALL,
    SMALL.replace(layout="trickle"),
    shoal.Profile.BLAKE3.replace(layout="blob"),
]


@pytest.fixture
def fs(store):
    return ShoalFileSystem(store.path, skip_instance_cache=True)


@pytest.fixture
def folder(tmp_path, painted):
    """A tree with a bit of everything, added by tests as they like."""
    folder = tmp_path / "tree"
    (folder / "a" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a" / "deep" / "file.bin").write_bytes(painted(5 * BLOCK + 17))
    (folder / "a" / "text.txt").write_text("one\ntwo\nthree\n")
    (folder / "none").write_bytes(b"")
    return folder


def snapshot(path: str | os.PathLike[str]) -> set[str]:
    return {str(found.relative_to(path)) for found in Path(path).rglob("*")}


# Reading


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: f"{profile.name}-{profile.layout}")
def test_slices_of_a_file_are_those_of_its_bytes(store, fs, painted, profile):
    for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 20 * BLOCK + 3):
        data = painted(size)
        path = f"shoal://{store.add(data, profile=profile).cid}"
        assert fs.size(path) == size
        places = [None, 0, 1, size - 1, size, size + 1, -1, -size, -size - 1, BLOCK - 1, BLOCK, 7 * BLOCK + 5]
        for start in places:
            for end in places:
                assert fs.cat_file(path, start=start, end=end) == data[start:end], (size, start, end)


def test_ranges_of_many_files_come_in_the_order_asked_for_with_one_call_a_file(store, fs, painted, monkeypatch):
    datas = [painted(3 * BLOCK, str(n)) for n in range(3)]
    paths = [str(store.add(data, profile=SMALL).cid) for data in datas]
    calls = []
    read_ranges = shoal.File.read_ranges
    monkeypatch.setattr(shoal.File, "read_ranges", lambda file, wanted: calls.append(1) or read_ranges(file, wanted))
    asked = [(n % 3, start, start + 100) for n, start in enumerate(range(2 * BLOCK, 0, -5000))]
    found = fs.cat_ranges(
        [f"shoal://{paths[n]}" for n, _, _ in asked], [s for _, s, _ in asked], [e for _, _, e in asked]
    )
    assert found == [datas[n][start:end] for n, start, end in asked]
    assert len(calls) == 3
    # One number stands for all, and a range that ends before it begins is empty.
    assert fs.cat_ranges([paths[0], paths[1]], 5, 9) == [datas[0][5:9], datas[1][5:9]]
    assert fs.cat_ranges([paths[0]], [9], [5]) == [b""]
    assert fs.cat_ranges([], [], []) == []
    with pytest.raises(ValueError, match="as many"):
        fs.cat_ranges(paths, [1], [2])


def test_an_error_stands_in_its_place_or_is_raised(store, fs):
    there, root = str(store.add(b"some bytes").cid), store.add(b"x", name="x", wrap=True).cid
    found = fs.cat_ranges([there, f"{root}/nothing", there], [0, 0, 5], [4, 4, 7])
    assert found[0] == b"some"
    assert isinstance(found[1], FileNotFoundError)
    assert found[2] == b"by"
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([there, f"{root}/nothing"], 0, 4, on_error="raise")


def test_an_open_file_is_a_file(store, fs, folder, painted):
    root = store.add(folder, profile=SMALL).cid
    data = painted(5 * BLOCK + 17)
    with fs.open(f"shoal://{root}/a/deep/file.bin") as file:
        assert isinstance(file, shoal.File)
        assert file.size == len(data)
        assert file.mode == "rb"
        assert file.full_name == f"shoal://{root}/a/deep/file.bin"
        assert file.info() == file.details == fs.info(file.path)
        assert file.seek(-10, os.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        file.seek(BLOCK - 1)
        assert file.read(2) == data[BLOCK - 1 : BLOCK + 1]
        buffer = bytearray(10)
        assert file.readinto(buffer) == 10
        assert bytes(buffer) == data[BLOCK + 1 : BLOCK + 11]
        again = pickle.loads(pickle.dumps(file))
        assert again.tell() == file.tell()
        assert again.read() == data[BLOCK + 11 :]
        assert io.BufferedReader(fs.open(file.path)).read(100) == data[:100]
    with fs.open(f"{root}/a/text.txt", "r") as file:
        assert list(file) == ["one\n", "two\n", "three\n"]
    assert fs.read_text(f"{root}/a/text.txt") == "one\ntwo\nthree\n"
    assert fs.head(f"{root}/a/text.txt", 3) == b"one"
    assert fs.tail(f"{root}/a/text.txt", 3) == b"ee\n"
    assert fs.read_block(f"{root}/a/text.txt", 1, 4, delimiter=b"\n") == b"two\n"
    packed = store.add(gzip.compress(b"unpacked"), name="x.gz", wrap=True).cid
    with fs.open(f"{packed}/x.gz", compression="infer") as file:
        assert file.read() == b"unpacked"


def test_a_cache_of_blocks_stands_before_a_file_only_when_asked_for(store, fs, painted):
    data = painted(3 * BLOCK)
    path = str(store.add(data).cid)
    with fs.open(path, cache_type="readahead", block_size=1000) as file:
        assert not isinstance(file, shoal.File)
        file.seek(BLOCK)
        assert file.read(10) == data[BLOCK : BLOCK + 10]
    with fsspec.open(f"simplecache::shoal://{path}", shoal={"store": fs.store.path}) as file:
        assert file.read() == data


# Looking


def test_a_tree_is_listed_walked_and_found(store, fs, folder):
    root = str(store.add(folder).cid)
    assert [(info["name"], info["type"], info["size"]) for info in fs.ls(f"shoal://{root}")] == [
        (f"{root}/a", "directory", 0),
        (f"{root}/empty", "directory", 0),
        (f"{root}/none", "file", 0),
    ]
    assert fs.ls(f"{root}/a", detail=False) == [f"{root}/a/deep", f"{root}/a/text.txt"]
    assert fs.ls(f"{root}/none") == [fs.info(f"{root}/none")]
    assert fs.ls(f"{root}/empty") == []
    assert list(fs.walk(root)) == [
        (root, ["a", "empty"], ["none"]),
        (f"{root}/a", ["deep"], ["text.txt"]),
        (f"{root}/a/deep", [], ["file.bin"]),
        (f"{root}/empty", [], []),
    ]
    assert fs.find(root) == [f"{root}/a/deep/file.bin", f"{root}/a/text.txt", f"{root}/none"]
    assert fs.glob(f"shoal://{root}/**/*.txt") == [f"{root}/a/text.txt"]
    assert fs.du(root) == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for name, expected in {
        "a": (True, False),
        "none": (False, True),
        "nothing": (False, False),
        "none/x": (False, False),
    }.items():
        assert (fs.isdir(f"{root}/{name}"), fs.isfile(f"{root}/{name}")) == expected, name
        assert fs.exists(f"{root}/{name}") == any(expected), name


def test_what_is_listed_is_what_info_says(store, fs, folder):
    os.symlink("a/text.txt", folder / "link")
    root = str(store.add(folder, preserve_mode=True, preserve_mtime=True).cid)
    for _, directories, files in fs.walk(root, detail=True):
        for info in [*directories.values(), *files.values()]:
            assert fs.info(info["name"]) == info


def test_a_sharded_directory_is_a_directory(store, fs, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    names = [f"entry {n:04} ä" for n in range(1500)]
    for name in names:
        (folder / name).write_text(name)
    root = str(store.add(folder, profile=SMALL).cid)
    assert sorted(fs.ls(root, detail=False)) == [f"{root}/{name}" for name in names]
    assert fs.cat_file(f"{root}/{names[777]}") == names[777].encode()
    assert not fs.exists(f"{root}/entry 1500 ä")


def test_what_was_kept_of_a_file_is_told(store, fs, tmp_path):
    (tmp_path / "kept").write_bytes(b"kept")
    os.chmod(tmp_path / "kept", 0o640)
    os.utime(tmp_path / "kept", (1_600_000_000, 1_600_000_000))
    kept = store.add(tmp_path / "kept", preserve_mode=True, preserve_mtime=True).cid
    assert fs.info(str(kept))["mode"] == 0o640
    assert fs.modified(str(kept)).timestamp() == 1_600_000_000
    plain = str(store.add(b"plain").cid)
    assert "mode" not in fs.info(plain)
    for time in (fs.modified, fs.created):
        with pytest.raises(NotImplementedError):
            time(plain)


def test_what_identifies_content_is_its_cid(store, fs, folder):
    root = store.add(folder).cid
    cid = str(store.resolve(root / "a" / "text.txt")[0])
    path = f"{root}/a/text.txt"
    assert fs.info(path)["cid"] == fs.ukey(path) == fs.checksum(path) == cid
    assert fs.ukey(f"{root}/a") == str(store.resolve(root / "a")[0])


def test_a_path_may_be_spelled_in_several_ways(store, fs, folder):
    root = store.add(folder).cid
    for spelled in (
        f"shoal://{root}/a/text.txt",
        f"ipfs://{root}/a/text.txt",
        f"/ipfs/{root}/a/text.txt",
        f"{root}/a/text.txt",
        f"/{root}//a/text.txt/",
        f"shoal://{root.encode('base36')}/a/text.txt",
    ):
        assert fs.cat_file(spelled) == b"one\ntwo\nthree\n", spelled
    assert fs.unstrip_protocol(f"{root}/a") == f"shoal://{root}/a"


def test_the_top_lists_what_is_pinned(store, fs, folder):
    root, file = store.add(folder).cid, store.add(b"pinned").cid
    store.add(b"not pinned", pin=False)
    node = store.dag.put({"no": "file"}, pin=True)
    assert {(info["name"], info["type"]) for info in fs.ls("shoal://")} == {
        (str(root), "directory"),
        (str(file), "file"),
        (str(node), "other"),
    }
    store.delete(root, force=True)
    fs = ShoalFileSystem(store.path, write=True, skip_instance_cache=True)
    assert {info["name"]: info["type"] for info in fs.ls("")}[str(root)] == "other"


# Links


def test_links_are_followed_within_their_root(store, fs, folder):
    for name, target in {
        "file": "a/text.txt",
        "directory": "a",
        "chain": "directory/./deep/../link back",
        "a/link back": "../none",
        "round": "round",
        "a/around": "..",
    }.items():
        os.symlink(target, folder / name)
    root = str(store.add(folder).cid)
    assert fs.cat_file(f"{root}/file") == b"one\ntwo\nthree\n"
    assert fs.cat_file(f"{root}/directory/text.txt") == b"one\ntwo\nthree\n"
    assert fs.cat_file(f"{root}/a/around/a/around/file") == b"one\ntwo\nthree\n"
    assert fs.open(f"{root}/chain").read() == b""
    info = fs.info(f"{root}/file")
    assert (info["type"], info["size"], info["islink"], info["destination"]) == ("file", 14, True, "a/text.txt")
    assert fs.ukey(f"{root}/file") == fs.ukey(f"{root}/a/text.txt")
    assert fs.isdir(f"{root}/directory")
    assert f"{root}/directory/text.txt" in fs.ls(f"{root}/directory", detail=False)
    kinds = {info["name"].removeprefix(f"{root}/"): info["type"] for info in fs.ls(root)}
    assert kinds["file"] == kinds["chain"] == "file"
    assert kinds["directory"] == kinds["round"] == "link"
    # A link to a directory above itself is not walked round and round.
    assert f"{root}/a/around" in fs.find(root)
    assert not [path for path in fs.find(root) if "around/" in path]
    with pytest.raises(OSError, match="links") as caught:
        fs.open(f"{root}/round")
    assert caught.value.errno == errno.ELOOP


def test_no_link_leads_out_of_its_root(store, fs, folder):
    secret = folder.parent / "secret"
    secret.write_text("secret")
    for name, target in {
        "up": "../secret",
        "far": "a/../../secret",
        "absolute": str(secret),
        "from the top": "/a/text.txt",
        "long": "a/" * 3000,
    }.items():
        try:
            os.symlink(target, folder / name)
        except OSError:  # longer than the system has them
            continue
    root = str(store.add(folder).cid)
    for name in ("up", "far", "absolute", "from the top"):
        for look in (fs.open, fs.info, fs.cat_file):
            with pytest.raises(FileNotFoundError):
                look(f"{root}/{name}")
        assert not fs.exists(f"{root}/{name}")


# What is not there


def partial(store: shoal.Store, other: shoal.Store, *without: shoal.CID) -> None:
    """Copies the blocks of a store into another one, but for some."""
    for cid in store.refs_local():
        if cid not in without:
            other.put(bytes(store.get_block(cid)), cid=cid)


def test_a_name_that_is_not_there_and_a_block_that_is_not_here_are_two_things(store, folder, tmp_path):
    root = store.add(folder, profile=SMALL).cid
    directory, leaf = (
        store.resolve(root / "a" / "deep")[0],
        list(store.refs(root / "a" / "deep" / "file.bin", recursive=True))[-1][1],
    )
    with shoal.Store(tmp_path / "other") as other:
        partial(store, other, directory, leaf)
        other.put(bytes(store.get_block(store.resolve(root / "a" / "text.txt")[0])))
    fs = ShoalFileSystem(tmp_path / "other", skip_instance_cache=True)
    assert not fs.exists(f"{root}/a/nothing")
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{root}/a/nothing")
    for look in (fs.info, fs.exists, fs.isfile, fs.isdir, fs.open, fs.cat_file):
        with pytest.raises(Incomplete, match="is not in the store") as caught:
            look(f"{root}/a/deep/file.bin")
        assert caught.value.cid == directory
        assert not isinstance(caught.value, (KeyError, OSError))
    # The directory above still says what it is called.
    kinds = {info["name"]: (info["type"], info["size"]) for info in fs.ls(f"{root}/a")}
    assert kinds == {f"{root}/a/deep": ("other", None), f"{root}/a/text.txt": ("file", 14)}

    with shoal.Store(tmp_path / "other") as other:
        other.put(bytes(store.get_block(directory)), cid=directory)
    path = f"{root}/a/deep/file.bin"
    assert fs.cat_file(path, end=100) == (folder / "a/deep/file.bin").read_bytes()[:100]
    for read in (
        fs.cat_file,
        lambda path: fs.open(path).read(),
        lambda path: fs.cat_ranges([path], 0, None, on_error="raise"),
    ):
        with pytest.raises(Incomplete) as caught:
            read(path)
        assert caught.value.cid == leaf
    assert isinstance(fs.cat_ranges([path], 0, None)[0], Incomplete)
    # A mapping of chunks, as zarr 2 has it, says KeyError for what was never written, and for nothing else.
    mapping = fs.get_mapper(f"{root}/a")
    assert "nothing" not in mapping
    with pytest.raises(KeyError):
        mapping["nothing"]
    with pytest.raises(Incomplete):
        mapping["deep/file.bin"]


def test_a_root_that_is_not_in_the_store(fs):
    absent = str(shoal.CID.of(b"never stored"))
    assert not fs.exists(absent)
    assert not fs.isdir(absent)
    with pytest.raises(Incomplete, match="get it from who has it"):
        fs.open(f"{absent}/a")
    with pytest.raises(FileNotFoundError, match="begins with a CID"):
        fs.open("no-cid/a")


def test_damage_is_said_and_never_a_missing_file(store, fs, folder):
    root = store.add(folder).cid
    fs.find(str(root))
    [pack] = Path(store.path, "packs").glob("*.car")
    wrong = bytearray(pack.read_bytes())
    place = wrong.find(b"one\ntwo\nthree\n")
    wrong[place] ^= 1
    pack.write_bytes(wrong)
    for read in (fs.cat_file, lambda path: fs.open(path).read(), lambda path: fs.get_mapper(f"{root}/a")["text.txt"]):
        with pytest.raises(Damaged):
            read(f"{root}/a/text.txt")


def test_a_directory_whose_names_lead_astray_is_not_listed_and_writes_nothing_outside(store, fs, tmp_path):
    good = store.add(b"good").cid
    for name in ("../escaped", "..", ".", "", "a/b"):
        node = {
            "Data": b"\x08\x01",
            "Links": [{"Hash": good, "Name": name, "Tsize": 4}, {"Hash": good, "Name": "z", "Tsize": 4}],
        }
        root = str(store.put(shoal.dag_encode("dag-pb", node), codec="dag-pb"))
        with pytest.raises(InvalidInput, match="no path can name"):
            fs.ls(root)
        with pytest.raises(InvalidInput, match="no path can name"):
            fs.get(root, str(tmp_path / "target" / "copy"), recursive=True)
        assert fs.cat_file(f"{root}/z") == b"good"
        assert not (tmp_path / "target" / "escaped").exists()
        assert not (tmp_path / "escaped").exists()


# Copies


def test_a_file_is_copied_to_disk_whole_or_not_at_all(store, fs, folder, tmp_path):
    root = store.add(folder, profile=SMALL).cid
    copy = tmp_path / "copies" / "file.bin"

    class Count(Callback):
        def call(self, *_: object, **__: object) -> None:
            pass

    count = Count()
    fs.get_file(f"{root}/a/deep/file.bin", str(copy), callback=count)
    assert copy.read_bytes() == (folder / "a/deep/file.bin").read_bytes()
    assert (count.size, count.value) == (5 * BLOCK + 17, 5 * BLOCK + 17)
    fs.get(str(root), str(tmp_path / "tree copy"), recursive=True)
    assert snapshot(tmp_path / "tree copy") == snapshot(folder)
    into = io.BytesIO()
    fs.get_file(f"{root}/a/text.txt", into)
    assert into.getvalue() == b"one\ntwo\nthree\n"

    leaf = list(store.refs(root / "a" / "deep" / "file.bin", recursive=True))[-1][1]
    with shoal.Store(tmp_path / "other") as other:
        partial(store, other, leaf)
    fs = ShoalFileSystem(tmp_path / "other", skip_instance_cache=True)
    before = copy.read_bytes()
    with pytest.raises(Incomplete):
        fs.get_file(f"{root}/a/deep/file.bin", str(copy))
    assert copy.read_bytes() == before
    assert snapshot(copy.parent) == {"file.bin"}


@pytest.mark.parametrize("write", [False, True])
def test_nothing_below_a_cid_is_written_to(store, folder, write):
    root = str(store.add(folder).cid)
    fs = ShoalFileSystem(store.path, write=write, skip_instance_cache=True)
    before = snapshot(store.path)
    file, directory = f"{root}/a/text.txt", f"{root}/a"
    for change in (
        lambda: fs.open(file, "wb"),
        lambda: fs.open(f"{root}/new", "xb"),
        lambda: fs.open(file, "ab"),
        lambda: fs.pipe(file, b""),
        lambda: fs.touch(f"{root}/new"),
        lambda: fs.mkdir(f"{root}/new"),
        lambda: fs.makedirs(f"{root}/new/new"),
        lambda: fs.rm(file),
        lambda: fs.rm(directory, recursive=True),
        lambda: fs.rmdir(f"{root}/empty"),
        lambda: fs.mv(file, f"{root}/new"),
        lambda: fs.mv(file, "draft"),
        lambda: fs.cp(file, f"{root}/new"),
        lambda: fs.put(str(folder / "none"), f"{root}/new"),
        lambda: fs.commit(root),
        lambda: fs.discard(root),
    ):
        with pytest.raises(OSError, match="CID never changes" if write else "write=True") as caught:
            change()
        assert caught.value.errno == errno.EROFS
    assert snapshot(store.path) == before
    with pytest.raises(ValueError, match="mode"):
        fs.open(file, "r+b")


# The filesystem as a value


def test_it_is_found_by_its_protocol_and_ipfs_only_when_asked_for(store):
    cid = store.add(b"found").cid
    program = f"""
import sys
import shoal
shoal.Store({store.path!r}).read({str(cid)!r})
assert "fsspec" not in sys.modules
import fsspec
options = {{"store": {store.path!r}}}
assert fsspec.open("shoal://{cid}", **options).open().read() == b"found"
try:
    fsspec.open("ipfs://{cid}", **options)
except (ValueError, ImportError):
    pass
else:
    raise AssertionError("ipfs:// is taken unasked")
import shoal.filesystem
shoal.filesystem.register("ipfs")
assert fsspec.open("ipfs://{cid}", **options).open().read() == b"found"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_threads_and_copies_share_one_store_and_see_what_is_added(store, painted):
    fs = ShoalFileSystem(store.path)
    data = painted(10 * BLOCK)
    path = str(store.add(data, profile=SMALL).cid)
    copy = pickle.loads(pickle.dumps(fs))
    assert copy == fs
    assert copy.cat_file(path) == data
    found: list[object] = []

    def read(seed: int) -> None:
        mine = ShoalFileSystem(store.path)
        found.append(mine.store is fs.store)
        for n in range(50):
            start = (seed * 7919 + n * 104_729) % len(data)
            found.append(mine.cat_file(path, start=start, end=start + 500) == data[start : start + 500])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * (4 * 51)
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).cat_file(path, end=5) == data[:5]


def test_without_a_folder_it_is_the_store_of_the_environment(tmp_path, monkeypatch):
    # fsspec keeps what was made without arguments, in this process and under another environment.
    ShoalFileSystem.clear_instance_cache()
    monkeypatch.setenv("SHOAL_PATH", str(tmp_path / "one"))
    with pytest.raises(shoal.StoreFormat, match="no store"):
        ShoalFileSystem()
    assert not (tmp_path / "one").exists()
    for name in ("one", "two"):
        monkeypatch.setenv("SHOAL_PATH", str(tmp_path / name))
        with shoal.Store() as store:
            cid = store.add(name.encode()).cid
        assert ShoalFileSystem().cat_file(str(cid)) == name.encode()
