"""Ctrl-C: every long call ends soon, leaves the store as it was, and the store works on. Each in a process of its own."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

import shoal

START = """
    import io, os, sys, threading, time
    import shoal
    folder = sys.argv[1]
    store = shoal.Store(folder + "/store")
    kept = store.add(b"kept").cid
    before = store.stat()
    big = folder + "/big"

    class Endless(io.RawIOBase):
        # Says that it was begun, and yields for ever.
        told = False
        def readable(self):
            return True
        def read(self, size=-1):
            if not self.told:
                self.told = True
                print("begun", flush=True)
            return os.urandom(size if size > 0 else 1 << 20)

    def tell(_progress):
        global tell
        print("begun", flush=True)
        tell = lambda _progress: None

    def lock():
        # Another process that has the lock for as long as this one lives.
        import subprocess
        code = "import sys, shoal; shoal.Store(sys.argv[1]).add(iter(lambda: (print(flush=True), sys.stdin.buffer.read())[1] or b'', 1))"
        process = subprocess.Popen(
            [sys.executable, "-c", code, folder + "/store"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        process.stdout.readline()
        time.sleep(0.3)
        return process

    try:
"""
END = """
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""

CALLS = {
    "add of a stream": "store.add(Endless())",
    "add of an iterator": "endless = Endless(); store.add(iter(lambda: endless.read(1 << 20), b''))",
    "add of a folder": "[store.add(folder + '/tree', profile='unixfs-v1-2025', only_hash=True, progress=lambda p: tell(p)) for _ in range(10**6)]",
    "add of a file": "[store.add(big, profile=shoal.Profile.BLAKE3.replace(hash='sha2-512'), only_hash=True, progress=lambda p: tell(p)) for _ in range(10**6)]",
    "cat to a pipe that nobody reads": "r, w = os.pipe(); cid = store.add(big).cid; print('begun', flush=True); store.cat(cid, w)",
    "export to a pipe that nobody reads": "r, w = os.pipe(); cid = store.add(big).cid; print('begun', flush=True); store.dag.export_car(cid, w)",
    "waiting for the lock": "other = lock(); print('begun', flush=True); store.put(b'never')",
    "verify": "print('begun', flush=True); [store.verify() for _ in range(10**9)]",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_ctrl_c_ends_it_soon_and_the_store_is_clean(tmp_path, painted, call):
    (tmp_path / "big").write_bytes(painted(64 << 20))
    (tmp_path / "tree").mkdir()
    for n in range(500):
        (tmp_path / "tree" / str(n)).write_bytes(painted(1000, str(n)))
    code = textwrap.dedent(START) + "    " + call + textwrap.dedent(END)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    time.sleep(0.4)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    seconds = time.monotonic() - begun
    assert (process.returncode, out, err) == (0, "interrupted\n", "")
    assert seconds < 5, f"it took {seconds:.1f} s"
    with shoal.Store(tmp_path / "store") as store:
        assert b"kept" in [store.read(pin.cid) for pin in store.pins.ls() if store.size(pin.cid) == 4]
        assert store.verify().ok
        if "add" in call and "big" not in call:
            assert store.stat().blocks == 1
        assert store.read(store.add(b"works on").cid) == b"works on"


def test_a_second_thread_is_not_asked_about_signals(store, painted):
    import threading

    cids = []
    thread = threading.Thread(target=lambda: cids.append(store.add(painted(5 << 20)).cid))
    thread.start()
    thread.join(60)
    assert cids


def test_a_handler_of_ones_own_runs_during_a_long_call(store):
    """Also one that does not raise: the call then goes on to its end."""
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        end = time.monotonic() + 1
        pieces = iter(lambda: time.sleep(0.02) or (b"x" if time.monotonic() < end else None), None)
        assert store.add(pieces).bytes > 1
        from shoal import _core

        _core.bench_hash("sha2-256", 1 << 30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(heard) >= 5
