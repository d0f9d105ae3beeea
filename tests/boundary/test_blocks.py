"""Blocks: bytes by reference, kept alive for as long as somebody looks at them; and buffers of Python's, which are given back."""

import array
import ctypes
import gc
import mmap
import pickle
import sys

import pytest

import shoal
from shoal import CID
from shoal.errors import InvalidInput, NotFound, Pinned, UnsupportedHash


def address(view: memoryview) -> int:
    """Where the first byte of a read-only view stands."""
    holder = ctypes.py_object(view)
    buffer = (ctypes.c_byte * 256)()  # at least sizeof(Py_buffer)
    ctypes.pythonapi.PyObject_GetBuffer(holder, ctypes.byref(buffer), 0)
    pointer = ctypes.c_void_p.from_buffer(buffer).value
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    return pointer


def test_a_view_of_a_block_copies_nothing(store, painted):
    data = painted(1 << 20)
    block = store.get_block(store.put(data))
    first, second = memoryview(block), memoryview(block)
    assert address(first) == address(second)
    assert first == data
    assert (first.readonly, first.format, first.nbytes, first.ndim) == (True, "B", len(data), 1)
    again = store.get_block(block.cid)
    assert address(memoryview(again)) == address(first), "two readings of one block share the mapped pack"


def test_a_view_keeps_the_bytes_after_block_and_store_are_gone(tmp_path, painted):
    data = painted(300_000)
    with shoal.Store(tmp_path / "store") as store:
        view = memoryview(store.get_block(store.put(data)))[1000:2000]
    del store
    gc.collect()
    assert bytes(view) == data[1000:2000]


def test_a_view_outlives_the_deletion_and_collection_of_its_block(tmp_path, painted):
    data = painted(500_000)
    with shoal.Store(tmp_path / "store", pack_bytes_max=4 << 20) as store:
        cid = store.put(data)
        view = memoryview(store.get_block(cid))
        store.put_many(painted(1 << 20, str(n)) for n in range(10))
        assert store.gc().blocks == 11
        assert not store.has(cid)
        assert view == data


def test_a_block_cannot_be_written_to(store):
    block = store.get_block(store.put(b"immutable"))
    with pytest.raises(TypeError):
        memoryview(block)[0] = 1
    with pytest.raises((BufferError, TypeError)):
        ctypes.c_char.from_buffer(block)


def test_blocks_are_equal_and_hash_as_their_cids(store):
    cid = store.put(b"x")
    assert store.get_block(cid) == store.get_block(cid)
    assert len({store.get_block(cid), store.get_block(cid)}) == 1
    assert store.get_block(cid) != store.get_block(store.put(b"y"))
    assert store.get_block(cid) != b"x"


def test_a_block_survives_a_pickle_and_a_forged_pickle_does_not(store):
    block = store.get_block(store.put(b"checked"))
    dumped = pickle.dumps(block)
    again = pickle.loads(dumped)
    assert (again, bytes(again), again.cid) == (block, b"checked", block.cid)
    with pytest.raises(InvalidInput):
        pickle.loads(dumped.replace(b"checked", b"forgery"))


def test_every_kind_of_buffer_is_taken_and_given_back(store):
    data = bytes(range(256)) * 4
    sources = [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(bytearray(data)),
        array.array("B", data),
        array.array("I", data),
    ]
    with mmap.mmap(-1, len(data)) as mapped:
        mapped[:] = data
        for source in [*sources, mapped]:
            assert store.put(source) == CID.of(data, hash="blake3")
            assert store.add(source, only_hash=True).bytes == len(data)
        mapped.resize(len(data) * 2)  # would raise BufferError while exported
    for source in sources:
        if isinstance(source, bytearray | array.array):
            source.extend(source[:1])  # as would this


def test_a_buffer_with_holes_is_refused(store):
    with pytest.raises(InvalidInput, match="contiguous"):
        store.put(memoryview(b"0123456789")[::2])


def test_a_block_given_with_its_cid_is_checked(store):
    cid = CID.of(b"right")
    assert store.put(b"right", cid=cid) == cid
    with pytest.raises(InvalidInput) as caught:
        store.put(b"wrong", cid=cid)
    assert caught.value.cid == cid
    with pytest.raises(InvalidInput):
        store.put_many([b"fine", (cid, b"wrong")])
    assert not store.has(CID.of(b"fine", hash="blake3")), "all of a batch, or none"
    unknown = CID(b"\x01\x55\xb2\x40\x14" + bytes(20))
    with pytest.raises(UnsupportedHash):
        store.put(b"", cid=unknown)


def test_a_block_is_at_most_two_mebibytes(store):
    assert len(store.get_block(store.put(bytes(2 << 20)))) == 2 << 20
    with pytest.raises(InvalidInput, match="2 MiB"):
        store.put(bytes((2 << 20) + 1))


@pytest.mark.parametrize("hash_name", ["blake3", "sha2-256", "sha2-512"])
def test_many_blocks_go_and_come_in_order(store, painted, hash_name):
    blocks = [painted(n * 37, str(n)) for n in range(500)]
    cids = store.put_many(iter(blocks), hash=hash_name)
    assert cids == [CID.of(data, hash=hash_name) for data in blocks]
    assert [bytes(block) for block in store.get_many(reversed(cids))] == blocks[::-1]
    assert store.has_many([*cids, CID.of(b"absent")]) == [True] * 500 + [False]
    assert [store.size(cid) for cid in cids] == [len(data) for data in blocks]
    assert set(store.refs_local()) >= set(cids)


def test_what_is_not_here_is_a_key_error_with_its_cid(store):
    absent = CID.of(b"absent")
    for call in (
        store.get_block,
        store.size,
        lambda cid: store.get_many([cid]),
        store.read,
        store.open,
        store.ls,
        store.dag.get,
    ):
        with pytest.raises(NotFound) as caught:
            call(absent)
        assert isinstance(caught.value, KeyError)
        assert caught.value.cid == absent
        assert str(absent) in str(caught.value)
    assert not store.has(absent)
    assert store.delete(absent) is False


def test_text_and_bytes_name_blocks_too(store):
    cid = store.put(b"x")
    assert store.has(str(cid))
    assert store.has(bytes(cid))
    assert store.get_block(str(cid)).cid == cid


def test_an_identity_block_is_always_here(store):
    cid = CID.of(b"inline", hash="identity")
    assert store.has(cid)
    assert bytes(store.get_block(cid)) == b"inline"


def test_pinned_blocks_are_not_deleted_unless_forced(store, painted):
    added = store.add(painted(5 << 20))
    leaf = next(child for _, child, _ in store.refs(added.cid))
    loose = store.put(b"loose")
    for cid in (added.cid, leaf):
        with pytest.raises(Pinned) as caught:
            store.delete_many([loose, cid])
        assert caught.value.cid == cid
    assert store.has(loose), "all, or none"
    assert store.delete(loose) is True
    assert store.delete_many([leaf, loose], force=True) == 1
    assert not store.has(leaf)


def test_ten_thousand_calls_leave_nothing_behind(store):
    data = b"x" * 10_000
    cid = store.put(data)
    parts = [data, cid]
    gc.collect()
    before, objects = [sys.getrefcount(part) for part in parts], len(gc.get_objects())
    for _ in range(10_000):
        with memoryview(store.get_block(cid)) as view:
            assert len(view) == 10_000
        store.has(cid)
        CID(str(cid))
        cid / "a"
    gc.collect()
    assert [sys.getrefcount(part) for part in parts] == before
    assert len(gc.get_objects()) - objects < 100
