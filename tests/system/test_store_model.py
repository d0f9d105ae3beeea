"""A store against a dict: whatever is done to it, in whatever order, it answers as a dict with transactions would.

Hypothesis chooses what is done: put, get, delete, pin, unpin, collect, reopen, kill the process, and fill the disk. A child process does
it to the real store, so that killing it is real; a limit on the size of files (RLIMIT_FSIZE) is its full disk.
`SHOAL_MODEL_RUNS=1000` makes it longer.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

RUNS = int(os.environ.get("SHOAL_MODEL_RUNS", "25"))

CHILD = """
import base64, json, resource, sys, shoal
store = shoal.Store(sys.argv[1], pack_bytes_max=3000)
def answer(verb, *rest):
    if verb == "put":
        return str(store.put(base64.b64decode(rest[0])))
    if verb == "get":
        return base64.b64encode(bytes(store.get_block(rest[0]))).decode()
    if verb == "has":
        return store.has(rest[0])
    if verb == "delete":
        return store.delete(rest[0])
    if verb == "pin":
        return str(store.pin.add(rest[0]))
    if verb == "unpin":
        return store.pin.rm(rest[0])
    if verb == "pins":
        return sorted(str(pin.cid) for pin in store.pin.ls())
    if verb == "collect":
        return store.gc().blocks
    if verb == "verify":
        return store.verify().ok
    if verb == "fill":
        return resource.setrlimit(resource.RLIMIT_FSIZE, (rest[0], -1))
print(flush=True)
for line in sys.stdin:
    try:
        said = {"ok": answer(*json.loads(line))}
    except shoal.ShoalError as error:
        said = {"error": type(error).__name__}
    print(json.dumps(said), flush=True)
"""


class Failed(Exception):
    pass


class StoreAgainstADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="shoal-model-", dir=memory if memory.is_dir() else None))
        self.blocks: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.known: dict[str, bytes] = {}
        self.is_full = False
        self.start()

    def start(self) -> None:
        self.is_full = False
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD, self.folder / "store"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdout
        self.child.stdout.readline()

    def stop(self) -> None:
        self.child.kill()
        self.child.communicate()

    def ask(self, *words: Any) -> Any:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write(json.dumps(words) + "\n")
        self.child.stdin.flush()
        said = json.loads(self.child.stdout.readline())
        if "error" in said:
            raise Failed(said["error"])
        return said["ok"]

    def must_be_for_want_of_room(self, failed: Failed) -> None:
        assert str(failed) == "StoreFull"
        assert self.is_full

    def changed(self, *words: Any) -> Any | None:
        """An answer, or None where the disk is full and the store says so."""
        try:
            return self.ask(*words)
        except Failed as failed:
            self.must_be_for_want_of_room(failed)
            return None

    @rule(n=st.integers(0, 15), size=st.sampled_from([0, 1, 100, 1500, 5000]))
    def put(self, n: int, size: int) -> None:
        data = bytes([n]) * size
        cid = self.changed("put", base64.b64encode(data).decode())
        if cid is not None:
            self.blocks[cid] = self.known[cid] = data

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        cid = data.draw(st.sampled_from(sorted(self.known)))
        assert self.ask("has", cid) == (cid in self.blocks)
        try:
            assert base64.b64decode(self.ask("get", cid)) == self.blocks[cid]
        except Failed as failed:
            assert str(failed) == "NotFound"
            assert cid not in self.blocks

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        cid = data.draw(st.sampled_from(sorted(self.known)))
        try:
            deleted = self.ask("delete", cid)
            assert cid not in self.pins
            assert deleted == (self.blocks.pop(cid, None) is not None)
        except Failed as failed:
            if str(failed) == "Pinned":
                assert cid in self.pins
            else:
                self.must_be_for_want_of_room(failed)

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        cid = data.draw(st.sampled_from(sorted(self.blocks)))
        if self.changed("pin", cid) is not None:
            self.pins.add(cid)

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        cid = data.draw(st.sampled_from(sorted(self.pins)))
        try:
            self.ask("unpin", cid)
            self.pins.discard(cid)
        except Failed as failed:
            self.must_be_for_want_of_room(failed)

    @rule()
    def collect(self) -> None:
        try:
            self.ask("collect")
            self.blocks = {cid: data for cid, data in self.blocks.items() if cid in self.pins}
        except Failed as failed:
            self.must_be_for_want_of_room(failed)
            # In part, perhaps; never a pinned one.
            self.blocks = {cid: data for cid, data in self.blocks.items() if cid in self.pins or self.ask("has", cid)}

    @rule(is_killed=st.booleans())
    def reopen(self, is_killed: bool) -> None:
        if is_killed:
            self.child.kill()
        self.child.communicate()
        self.start()

    @rule(limit=st.sampled_from([0, 400, 4000]))
    def fill(self, limit: int) -> None:
        self.ask("fill", limit)
        self.is_full = True

    @rule()
    def make_room(self) -> None:
        self.ask("fill", -1)
        self.is_full = False

    @invariant()
    def pins_are_those_of_the_model(self) -> None:
        assert self.ask("pins") == sorted(self.pins)

    def teardown(self) -> None:
        try:
            for cid, data in self.blocks.items():
                assert base64.b64decode(self.ask("get", cid)) == data
            assert self.ask("verify")
        finally:
            self.stop()
            shutil.rmtree(self.folder)


StoreAgainstADict.TestCase.settings = hypothesis.settings(
    max_examples=RUNS, stateful_step_count=40, deadline=None, derandomize=RUNS == 25, database=None
)
TestTheStoreAnswersAsADictWould = StoreAgainstADict.TestCase
