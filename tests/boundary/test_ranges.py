"""Many ranges of a file in one call: the same bytes as one by one, in the order asked for, checked like every other read."""

import threading
from pathlib import Path

import pytest

import shoal
from shoal.errors import Damaged, InvalidInput

MIB = 1 << 20
GROUP = 16 * 1024


@pytest.fixture(params=["blake3", "unixfs-v1-2025", "unixfs-v0-2015"])
def added(request, store, painted):
    data = painted(5 * MIB + 17)
    return store.add(data, profile=request.param).cid, data


def some_ranges(size):
    """Around the boundaries of groups and blocks, behind the end, empty, twice, from behind, and large."""
    boundaries = [0, GROUP, 5 * GROUP, MIB // 4, MIB, 3 * MIB, size]
    small = [
        (at + step, length) for at in boundaries for step in (-1, 0, 1) for length in (0, 1, 2, GROUP) if at + step >= 0
    ]
    return [*reversed(small), (7, 300_000), (0, size), (5, 4 * MIB), (size - 3, 1 << 62), (size + 9, 4), (0, 4), (0, 4)]


def test_ranges_are_what_single_reads_give_in_the_order_asked_for(store, added):
    cid, data = added
    ranges = some_ranges(len(data))
    with store.open(cid) as file:
        assert file.read_ranges(ranges) == [data[offset : offset + length] for offset, length in ranges]
        assert file.read_ranges(iter(ranges[:3])) == [file.read_at(*place) for place in ranges[:3]]
        assert file.read_ranges([]) == []
        assert file.tell() == 0
    # A store that has just been opened knows no values yet.
    with shoal.Store(store.path, read_only=True) as reader, reader.open(cid) as file:
        assert file.read_ranges(ranges) == [data[offset : offset + length] for offset, length in ranges]


def test_ranges_must_be_an_offset_and_a_size_and_the_file_open(store):
    with store.open(store.add(b"some bytes").cid) as file:
        for wrong in [(-1, 4), (4, -1)]:
            with pytest.raises(InvalidInput, match="neither of them negative"):
                file.read_ranges([(0, 1), wrong])
        for wrong in [5, (1,), (1, 2, 3), ("0", 4)]:
            with pytest.raises((TypeError, ValueError)):
                file.read_ranges([wrong])
    with pytest.raises(ValueError, match="closed"):
        file.read_ranges([(0, 1)])


def test_threads_share_a_file(store, added):
    cid, data = added
    failures = []

    def read(seed, file):
        ranges = [((seed * 7919 + n * 104_729) % len(data), 4096) for n in range(300)]
        if file.read_ranges(ranges) != [data[offset : offset + length] for offset, length in ranges]:
            failures.append(seed)

    with store.open(cid) as file:
        threads = [threading.Thread(target=read, args=(seed, file)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_damaged_group_fails_the_call_and_the_ranges_beside_it_do_not(store, painted):
    data = painted(3 * MIB)
    cid = store.add(data).cid
    with store.open(cid) as file:
        assert file.read_ranges([(2 * MIB + 5 * GROUP, 4)]) == [data[2 * MIB + 5 * GROUP :][:4]]
    (pack,) = (Path(store.path) / "packs").glob("*.car")
    content = pack.read_bytes()
    at = content.index(data[2 * MIB + GROUP : 2 * MIB + GROUP + 64])
    with pack.open("r+b") as raw:
        raw.seek(at)
        raw.write(bytes([content[at] ^ 1]))
    with store.open(cid) as file:
        beside = [(2 * MIB, 4), (2 * MIB + 2 * GROUP, 4), (2 * MIB + GROUP - 4, 4)]
        assert file.read_ranges(beside) == [data[offset : offset + length] for offset, length in beside]
        with pytest.raises(Damaged):
            file.read_ranges([*beside, (2 * MIB + GROUP, 1)])
        file.seek(2 * MIB + GROUP + 9)
        with pytest.raises(Damaged):
            file.read(4)
