"""The node: the same verbs on asyncio and trio, with progress, cancellation that leaves nothing, and a loop that never stands still."""

import gc
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import anyio
import pytest

import shoal
from shoal import CID
from shoal.errors import Cancelled, NotFound, SourceError

MIB = 1 << 20

pytestmark = [pytest.mark.anyio]
unblocked = pytest.mark.usefixtures("unblocked_loop")


class Endless(io.RawIOBase):
    """A source that never ends, and tells when it was read from."""

    def __init__(self):
        self.bytes = 0

    def readable(self):
        return True

    def read(self, size=-1):
        self.bytes += MIB
        return os.urandom(MIB)


async def begun(source):
    while not source.bytes:
        await anyio.sleep(0.01)


@unblocked
async def test_the_verbs_answer_as_the_store_does(node, tmp_path, painted):
    (tmp_path / "tree").mkdir()
    data = painted(3 * MIB)
    (tmp_path / "tree" / "big").write_bytes(data)
    (tmp_path / "tree" / "small").write_bytes(b"one\ntwo\n")
    added = await node.add(tmp_path / "tree", pin_name="tree")
    store = node.store
    assert added.cid == store.add(tmp_path / "tree", only_hash=True).cid
    assert (await node.add_many([tmp_path / "tree"]))[0].cid == added.cid
    assert [entry async for entry in node.ls(added.cid)] == list(store.ls(added.cid))
    assert await node.stat_path(added.cid / "big") == store.stat_path(added.cid / "big")
    assert await node.resolve(added.cid / "big") == store.resolve(added.cid / "big")
    assert await node.read(added.cid / "big", 5, 10) == data[5:15]
    assert b"".join([piece async for piece in node.cat(added.cid / "big")]) == data
    assert (await node.get(added.cid, tmp_path / "out")).files == 2
    assert [link async for link in node.refs(added.cid, recursive=True)] == list(store.refs(added.cid, recursive=True))
    assert {cid async for cid in node.refs_local()} == set(store.refs_local())
    assert await node.stat() == store.stat() == await node.repo.stat()
    assert (await node.verify()).ok
    assert (await node.repo.gc(dry_run=True)).blocks == 0

    cid = await node.block.put(b"block")
    assert bytes(await node.block.get(cid)) == b"block"
    assert await node.block.put_many([b"a", b"b"]) == [CID.of(data, hash="blake3") for data in (b"a", b"b")]
    assert len(await node.block.get_many([cid, cid])) == 2
    assert (await node.block.has(cid), await node.block.has_many([cid])) == (True, [True])
    assert await node.block.stat(cid) == 5
    assert await node.block.rm(cid)
    assert await node.block.rm_many([cid]) == 0

    root = await node.dag.put({"tree": added.cid})
    assert await node.dag.get(root / "tree/small") == b"one\ntwo\n"
    assert await node.dag.resolve(root / "tree") == (added.cid, "")
    assert await node.dag.put_bytes(b'{"tree":1}', store_codec="dag-json")
    assert (await node.dag.stat(added.cid)).blocks == store.dag.stat(added.cid).blocks
    size = await node.dag.export_car(added.cid, tmp_path / "out.car")
    assert size == (tmp_path / "out.car").stat().st_size
    assert (await node.dag.import_car(tmp_path / "out.car")).new_blocks == 0

    assert await node.pin.add(root, name="root") == root
    assert {pin.name for pin in await node.pin.ls()} == {"tree", "root"}
    await node.pin.rm(root)
    with pytest.raises(shoal.NotPinned):
        await node.pin.rm(root)


@unblocked
async def test_a_file_is_read_at_any_place(node, painted):
    data = painted(3 * MIB)
    added = await node.add(data)
    async with node.open(added.cid) as file:
        assert (file.cid, file.size) == (added.cid, len(data))
        assert await file.seek(MIB) == MIB
        assert await file.read(100) == data[MIB : MIB + 100]
        assert await file.tell() == MIB + 100
        assert await file.read_at(5, 5) == data[5:10]
        assert await file.read_ranges([(5, 5), (0, 3)]) == [data[5:10], data[:3]]
        assert await file.seek(-3, os.SEEK_END) == len(data) - 3
        assert await file.read() == data[-3:]
    with pytest.raises(ValueError, match="closed"):
        await file.read()
    file = await node.open((await node.add(b"one\ntwo")).cid)
    assert await file.readline() == b"one\n"
    assert [line async for line in file] == [b"two"]
    await file.aclose()
    with pytest.raises(ValueError, match="not open"):
        await node.open(added.cid).read()
    with pytest.raises(NotFound):
        async with node.open(CID.of(b"absent")):
            pass


@unblocked
async def test_progress_comes_while_it_works_and_ends_with_the_result(node, painted):
    data = painted(24 * MIB)

    def slowly():
        for start in range(0, len(data), MIB):
            time.sleep(0.02)
            yield data[start : start + MIB]

    operation = node.add(slowly())
    heard = [progress async for progress in operation]
    added = await operation
    assert added.bytes == heard[-1].bytes == len(data)
    assert len(heard) > 2
    assert [progress.bytes for progress in heard] == sorted(progress.bytes for progress in heard)
    assert {progress.phase for progress in heard} == {"add"}
    assert await operation is added
    assert "done" in repr(operation)


@unblocked
async def test_a_failure_reaches_who_awaits_and_who_iterates(node, tmp_path):
    with pytest.raises(SourceError):
        await node.add(tmp_path / "absent")
    with pytest.raises(SourceError):
        async for _ in node.add(tmp_path / "absent"):
            pass
    with pytest.raises(NotFound):
        async for _ in node.ls(CID.of(b"absent")):
            pass


@unblocked
async def test_a_cancelled_add_keeps_nothing_and_ends_soon(node):
    source = Endless()
    begun_at = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        await node.add(source)
    assert scope.cancelled_caught
    assert source.bytes
    assert time.monotonic() - begun_at < 4
    read = source.bytes
    await anyio.sleep(0.2)
    assert source.bytes == read, "the work has ended, not only the wait"
    assert (await node.stat()).blocks == 0
    assert (await node.add(b"works on")).new_blocks == 1


@unblocked
async def test_a_cancelled_iteration_stops_the_work_too(node):
    source = Endless()
    with anyio.move_on_after(0.5) as scope:
        async for progress in node.add(source):
            assert progress.phase == "add"
    assert scope.cancelled_caught
    read = source.bytes
    await anyio.sleep(0.2)
    assert source.bytes == read
    assert (await node.stat()).blocks == 0


@unblocked
async def test_an_operation_can_be_cancelled_by_name(node):
    source = Endless()
    operation = node.add(source)
    async with anyio.create_task_group() as tasks:

        async def stop():
            await begun(source)
            assert operation.progress.phase == "add"
            operation.cancel()

        tasks.start_soon(stop)
        with pytest.raises(Cancelled):
            await operation
    assert (await node.stat()).blocks == 0


@unblocked
async def test_a_cancelled_get_leaves_no_partial_file(node, tmp_path, painted):
    def make_tree():
        (tmp_path / "tree").mkdir()
        for n in range(3000):
            (tmp_path / "tree" / str(n)).write_bytes(b"%d" % n)

    # A slow disk takes a second for it, and the loop is watched.
    await anyio.to_thread.run_sync(make_tree)
    added = await node.add(tmp_path / "tree")
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            operation = node.get(added.cid, tmp_path / "out")

            async def stop():
                while not operation.progress.files:
                    await anyio.sleep(0.001)
                scope.cancel()

            tasks.start_soon(stop)
            await operation
    if not scope.cancelled_caught:
        pytest.fail("it was over before it could be cancelled")
    assert sorted(os.listdir(tmp_path)) == ["store", "tree"]


@unblocked
async def test_a_wait_for_the_lock_can_be_cancelled(node):
    code = "import sys, shoal; shoal.Store(sys.argv[1]).add(iter(lambda: (print(flush=True), sys.stdin.buffer.read())[1] or b'', 1))"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, node.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        await anyio.to_thread.run_sync(holder.stdout.readline)
        await anyio.sleep(0.3)
        begun_at = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await node.block.put(b"never")
        assert scope.cancelled_caught
        assert time.monotonic() - begun_at < 3
        assert not await node.block.has(CID.of(b"never", hash="blake3"))
    finally:
        holder.kill()
        holder.communicate()


@unblocked
async def test_leaving_the_node_stops_what_still_runs(tmp_path, anyio_backend):
    source = Endless()
    async with shoal.Node(tmp_path / "other") as node:
        operation = node.add(source)
        assert (await anext(operation)).phase == "add"
        await begun(source)
    read = source.bytes
    await anyio.sleep(0.1)
    assert source.bytes == read
    with pytest.raises(RuntimeError, match="not open"):
        await node.stat()
    with shoal.Store(tmp_path / "other") as store:
        assert store.stat().blocks == 0


@unblocked
async def test_an_exception_in_the_body_comes_out_as_it_is(tmp_path, anyio_backend):
    class Own(Exception):
        pass

    with pytest.raises(Own):
        async with shoal.Node(tmp_path / "other"):
            raise Own
    with anyio.move_on_after(0.1) as scope:
        async with shoal.Node(tmp_path / "other"):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


@unblocked
async def test_an_async_source_is_asked_in_the_loop(node, painted):
    data = painted(5 * MIB)

    async def pieces():
        for start in range(0, len(data), 300_000):
            await anyio.sleep(0)
            yield data[start : start + 300_000]

    assert (await node.add(pieces())).cid == (await node.add(data)).cid

    class Unplugged(Exception):
        pass

    async def broken():
        yield b"x"
        raise Unplugged

    with pytest.raises(Unplugged):
        await node.add(broken())

    async def hangs():
        yield b"x"
        await anyio.sleep_forever()

    with anyio.move_on_after(0.5) as scope:
        await node.add(hangs())
    assert scope.cancelled_caught


@unblocked
async def test_callbacks_are_called_in_the_loop(node, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"a")
    threads = set()
    heard = []

    def hear(what):
        threads.add(threading.get_ident())
        heard.append(what)

    await node.add(tmp_path / "tree", on_entry=hear, progress=hear)
    assert threads == {threading.get_ident()}
    assert {type(what) for what in heard} == {shoal.Added, shoal.Progress}

    def fail(_what):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await node.add(tmp_path / "tree", on_entry=fail)


@unblocked
async def test_more_operations_than_threads_take_turns(tmp_path, painted, anyio_backend):
    async with shoal.Node(tmp_path / "other", threads=2) as node:
        cids = {}

        async def add(number):
            cids[number] = (await node.add(painted(100_000, str(number)))).cid

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(add, number)
        for number, cid in cids.items():
            assert await node.read(cid) == painted(100_000, str(number))


@unblocked
async def test_an_iterator_can_be_left_half_way(node, painted):
    added = await node.add(painted(20 * MIB))
    async for _ in node.cat(added.cid):
        break
    async for _ in node.refs(added.cid):
        break
    gc.collect()


@unblocked
async def test_a_node_over_a_store_leaves_it_open(tmp_path, anyio_backend):
    with shoal.Store(tmp_path / "other") as store:
        async with shoal.Node(store) as node:
            cid = await node.block.put(b"x")
            with pytest.raises(RuntimeError, match="open already"):
                await node.__aenter__()
        assert store.has(cid)


CTRL_C = """
    import os, sys, anyio, shoal
    class Endless:
        told = False
        def read(self, size):
            if not self.told:
                self.told = True
                print("begun", flush=True)
            return os.urandom(1 << 20)
    async def main():
        async with shoal.Node(sys.argv[1]) as node:
            await node.add(Endless())
    try:
        anyio.run(main, backend=sys.argv[2])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@unblocked
async def test_ctrl_c_ends_an_operation(tmp_path, anyio_backend):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CTRL_C), str(tmp_path / "other"), anyio_backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def interrupt():
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=30)

    assert await anyio.to_thread.run_sync(interrupt) == ("interrupted\n", "")
    with shoal.Store(tmp_path / "other") as store:
        assert store.stat().blocks == 0


async def test_the_watch_on_the_loop_works(watched_loop):
    """A check of the check: without it, the fixture could pass everything."""
    with pytest.raises(AssertionError, match="stood still"):
        async with watched_loop():
            await anyio.sleep(0.05)
            time.sleep(0.7)
            await anyio.sleep(0.05)
    async with watched_loop():
        await anyio.sleep(0.05)
