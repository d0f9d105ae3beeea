"""CIDs, paths and profiles: what goes in comes out, compares, hashes and pickles; what cannot be is refused."""

import copy
import pickle

import pytest

import shoal
from shoal import CID, Path, Profile
from shoal.errors import InvalidCID, InvalidInput, UnknownProfile, UnsupportedCodec, UnsupportedHash

RAW = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
V0 = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"


def test_a_cid_is_made_of_text_bytes_or_a_cid():
    cid = CID(RAW)
    assert (
        cid
        == CID.of(b"hello")
        == CID(bytes(cid))
        == CID(bytearray(bytes(cid)))
        == CID(memoryview(bytes(cid)))
        == CID(cid)
    )
    assert str(cid) == RAW
    assert repr(cid) == f"CID('{RAW}')"
    assert (cid.version, cid.codec, cid.codec_code, cid.hash, cid.hash_code) == (1, "raw", 0x55, "sha2-256", 0x12)
    assert cid.multihash == b"\x12\x20" + cid.digest
    assert bytes(cid) == b"\x01\x55" + cid.multihash


def test_a_cid_has_many_texts_and_one_value():
    cid = CID(RAW)
    texts = {base: cid.encode(base) for base in ("base58btc", "base32", "base36", "base64url", "base16")}
    assert len(set(texts.values())) == 5
    assert {CID(text) for text in texts.values()} == {cid}
    with pytest.raises(InvalidInput, match="no base 'base2'"):
        cid.encode("base2")


def test_versions_convert_where_they_can():
    old = CID(V0)
    assert old.version == 0
    assert old.to_v1().to_v0() == old
    assert old != old.to_v1()
    with pytest.raises(InvalidCID):
        CID(RAW).to_v0()
    with pytest.raises(InvalidCID):
        old.encode("base32")


def test_cids_are_ordered_by_their_bytes():
    cids = [CID.of(bytes([n]), hash=name) for n in range(20) for name in ("sha2-256", "blake3", "sha2-512", "identity")]
    assert sorted(cids) == sorted(cids, key=bytes)
    assert CID(RAW) <= CID(RAW)
    assert not CID(RAW) < CID(RAW)
    assert CID(RAW) != RAW
    with pytest.raises(TypeError):
        _ = CID(RAW) < RAW


@pytest.mark.parametrize(
    "value",
    [
        CID(RAW),
        CID(V0),
        CID(RAW) / "a" / "ü",
        Path(RAW, "\udcff"),
        *Profile.all(),
        Profile.BLAKE3.replace(chunker="buzhash"),
        Profile.BLAKE3.replace(chunker="mincdc"),
        Profile.BLAKE3.replace(chunker="fastcdc"),
    ],
)
def test_values_survive_pickle_and_copy(value):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert again == value
        assert hash(again) == hash(value)
        assert type(again) is type(value)
    assert copy.deepcopy([value]) == [value]


def test_values_cannot_be_changed():
    for value in (CID(RAW), CID(RAW) / "a", Profile.BLAKE3):
        with pytest.raises(AttributeError):
            value.anything = 1
        with pytest.raises(AttributeError):
            value.name = "x"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "Qm",
        RAW[:-1],
        RAW + "a",
        "z" * 10_000,
        b"",
        b"\x01",
        bytes(CID(RAW))[:-1],
        bytes(CID(RAW)) + b"\0",
        "b" + "a" * 400,
        "\udcff",
    ],
)
def test_what_is_no_cid_is_refused_without_repeating_it(wrong):
    with pytest.raises(InvalidCID) as caught:
        CID(wrong)
    assert isinstance(caught.value, ValueError)
    if len(wrong) > 4:
        assert str(wrong) not in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 1, 1.0, object(), [1], {}])
def test_what_cannot_be_a_cid_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        CID(wrong)


def test_unknown_codecs_and_hashes_are_named_by_number():
    cid = CID.of(b"", codec="0x0202")
    assert cid.codec == "0x202"
    with pytest.raises(UnsupportedCodec):
        CID.of(b"", codec="dag-nothing")
    with pytest.raises(UnsupportedHash):
        CID.of(b"", hash="md5")
    with pytest.raises(InvalidCID):
        CID.of(b"x" * 129, hash="identity")


def test_a_path_is_read_from_all_its_forms():
    path = CID(RAW) / "a" / "b"
    for text in (f"{RAW}/a/b", f"/ipfs/{RAW}/a/b", f"ipfs://{RAW}/a/b", f"/ipfs/{RAW}//a/b/"):
        assert Path.parse(text) == path
    assert str(path) == f"/ipfs/{RAW}/a/b"
    assert path.root == CID(RAW)
    assert path.names == ("a", "b")
    assert path.name == "b"
    assert Path(CID(RAW)).name == RAW
    assert CID(RAW) / "a/b" == path
    assert Path.parse(str(path)) == path
    assert eval(repr(path), {"Path": Path.parse}) == path


@pytest.mark.parametrize("name", ["", "/", "..", ".", "a/../b", "a\0b"])
def test_a_path_only_goes_down(name):
    with pytest.raises(InvalidInput):
        CID(RAW) / name


def test_a_path_is_not_endless():
    with pytest.raises(InvalidInput, match="too deep"):
        CID(RAW) / ("a/" * 100_000)


def test_profiles_are_found_by_name_or_suggested():
    assert [profile.name for profile in Profile.all()] == ["blake3", "blake3-cdc", "unixfs-v1-2025", "unixfs-v0-2015"]
    assert Profile.named("blake3") == Profile.BLAKE3
    with pytest.raises(UnknownProfile, match="did you mean unixfs-v1-2025"):
        Profile.named("unixfs-v1")


def test_a_changed_profile_is_custom_and_keeps_the_rest():
    base = Profile.UNIXFS_V1_2025
    changed = base.replace(chunker="size-4096", layout="trickle", file_links_max=10)
    assert (changed.name, changed.chunker, changed.layout, changed.file_links_max) == (
        "custom",
        "size-4096",
        "trickle",
        10,
    )
    assert changed.hash == base.hash
    assert base.replace(hash="sha2-256") == base
    assert base.replace().name == "unixfs-v1-2025"
    assert len({base, changed, base.replace(chunker="size-4096", layout="trickle", file_links_max=10)}) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"chunker": "size-0"},
        {"chunker": "nothing"},
        {"cid_version": 2},
        {"cid_version": 0, "hash": "blake3"},
        {"layout": "flat"},
        {"file_links_max": 0},
        {"hamt_fanout": 3},
        {"inline_bytes_max": 129},
        {"directory_size": "guess"},
        {"hash": "md5"},
    ],
)
def test_impossible_profiles_are_refused(fields):
    with pytest.raises(InvalidInput):
        Profile.BLAKE3.replace(**fields)


@pytest.mark.parametrize("fields", [{"nothing": 1}, {"name": "mine"}, {"cid_version": "1"}, {"raw_leaves": 3.5}])
def test_fields_a_profile_does_not_have_are_type_errors(fields):
    with pytest.raises(TypeError):
        Profile.BLAKE3.replace(**fields)


def test_numbers_out_of_range_are_not_panics():
    for fields in (
        {"cid_version": -1},
        {"cid_version": 10**30},
        {"file_links_max": -1},
        {"hamt_threshold_bytes": 2**80},
    ):
        with pytest.raises((OverflowError, InvalidInput)):
            Profile.BLAKE3.replace(**fields)


def test_nothing_heavy_is_imported_with_shoal():
    import subprocess
    import sys

    code = "import time; t = time.perf_counter(); import shoal; t = time.perf_counter() - t; import sys; print(t, *sys.modules)"
    seconds, *modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    print(f"import shoal: {float(seconds) * 1000:.0f} ms")
    assert {"anyio", "click", "rich", "asyncio", "tempfile", "difflib"}.isdisjoint(modules)


def test_the_version_is_one():
    import importlib.metadata

    assert shoal.__version__ == importlib.metadata.version("shoal")
