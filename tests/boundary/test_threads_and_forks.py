"""One store under many threads, in forked children, and beside other processes."""

import multiprocessing
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import shoal
from shoal import CID
from shoal.errors import StoreLocked

MIB = 1 << 20


def run_in_child(function):
    """Forks, runs, and fails if the child does."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    pytest.fail("the forked child hung")


def test_eight_threads_hammer_one_store(store, painted, tmp_path):
    big = painted(10 * MIB)
    root = store.add(big).cid
    reader = store.open(root)

    def hammer(number):
        chance = random.Random(number)
        cids = {}
        for turn in range(60):
            data = painted(chance.randrange(50_000), f"{number} {turn}")
            match chance.randrange(7):
                case 0:
                    cids[store.put(data)] = data
                case 1:
                    cids[store.add(data, pin=False).cid] = data
                case 2:
                    cids |= zip(store.put_many([data, data[::-1]]), [data, data[::-1]], strict=True)
                case 3:
                    offset = chance.randrange(len(big))
                    assert reader.read_at(offset, 10_000) == big[offset : offset + 10_000]
                case 4:
                    offset = chance.randrange(len(big))
                    assert store.read(root, offset, 100_000) == big[offset : offset + 100_000]
                case 5 if cids:
                    cid = chance.choice(list(cids))
                    assert memoryview(store.get_block(cid)) == cids[cid]
                case _:
                    store.pins.add(store.put(b"%d" % number), name=str(number))
                    store.stat()
        assert [bytes(block) for block in store.get_many(cids)] == list(cids.values())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hammer, range(8)))
    assert store.verify().ok


def test_other_threads_run_while_a_long_call_works(store, painted):
    data = painted(64 * MIB)
    counted = 0
    is_over = threading.Event()

    def count():
        nonlocal counted
        while not is_over.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    begun = time.perf_counter()
    store.add(data, profile="unixfs-v1-2025")
    seconds = time.perf_counter() - begun
    is_over.set()
    counter.join()
    assert counted > seconds * 50, f"{counted} turns in {seconds:.2f} s"


def test_a_forked_child_reads_and_writes(store, painted):
    data = painted(3 * MIB)
    cid = store.add(data).cid
    file = store.open(cid)
    assert file.read(10) == data[:10]
    block = store.get_block(store.put(b"block"))

    def child():
        assert store.read(cid) == data
        assert file.read(10) == data[10:20]
        assert bytes(block) == b"block"
        assert store.read(store.add(b"by the child").cid) == b"by the child"

    run_in_child(child)
    run_in_child(child)
    assert file.read(10) == data[10:20], "the child's position is its own"
    assert store.read(store.add(b"by the parent").cid) == b"by the parent"
    assert store.has(CID.of(b"by the child", hash="blake3"))
    assert store.verify().ok


def test_a_fork_in_the_middle_of_an_add_harms_neither(store, painted):
    data = painted(96 * MIB)
    adding = threading.Thread(target=lambda: store.add(data, profile="unixfs-v1-2025"))
    adding.start()
    known = store.add(b"known", only_hash=True).cid
    while adding.is_alive():
        run_in_child(lambda: store.has(known))
    adding.join()
    assert store.verify().ok
    assert store.pins.ls()


def _work(store, number):
    return store.add(f"from process {number}".encode()).cid


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_of_processes_shares_the_folder(store, method):
    store.add(b"before")
    with multiprocessing.get_context(method).Pool(3) as pool:
        cids = pool.starmap(_work, [(store, number) for number in range(12)])
    assert [store.read(cid) for cid in cids] == [f"from process {number}".encode() for number in range(12)]
    assert store.verify().ok


HOLDER = """
    import sys, time, shoal
    def pieces():
        print("holding", flush=True)
        yield b"x"
        sys.stdin.readline()
    with shoal.Store(sys.argv[1]) as store:
        store.add(pieces())
"""


@pytest.fixture
def holder(store):
    """Another process that has the lock until it is told to go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), store.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "holding\n"
    time.sleep(0.3)  # it says so from its first piece, and has the lock soon after
    yield process
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_who_cannot_get_the_lock_is_told_who_has_it(store, holder):
    with shoal.Store(store.path, lock_wait=0.2) as impatient:
        begun = time.monotonic()
        for call in (
            lambda: impatient.put(b"y"),
            lambda: impatient.add(b"y"),
            lambda: impatient.gc(),
            lambda: impatient.pins.add(CID.of(b"", hash="identity")),
        ):
            with pytest.raises(StoreLocked) as caught:
                call()
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.pid == holder.pid
        assert 0.8 <= time.monotonic() - begun < 10
        assert not impatient.has(CID.of(b"y")), "readers need no lock"
        assert impatient.add(b"y", only_hash=True).files == 1


def test_a_waiting_writer_goes_on_when_the_lock_is_free(store, holder):
    threading.Timer(0.5, lambda: holder.stdin.write("\n") and holder.stdin.flush()).start()
    assert store.read(store.add(b"patience").cid) == b"patience"
