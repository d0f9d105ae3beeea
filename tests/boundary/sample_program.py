"""A program as a user writes it. It runs as a test, and passes `mypy --strict` and pyright in strict mode."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

import shoal
from shoal.errors import Damaged, NotFound, ShoalError


def hear(progress: shoal.Progress) -> None:
    if progress.bytes_total is not None:
        print(progress.phase, progress.bytes / max(progress.bytes_total, 1), file=sys.stderr)


def synchronous(folder: Path) -> shoal.CID:
    (folder / "data").mkdir()
    (folder / "data" / "a.txt").write_bytes(b"first\nsecond\n")
    names: list[str] = []
    profile = shoal.Profile.named("unixfs-v1-2025").replace(chunker="size-262144")
    with shoal.Store(folder / "store") as store:
        added: shoal.Added = store.add(
            folder / "data", profile=profile, on_entry=lambda entry: names.append(entry.name), progress=hear
        )
        assert names == ["data/a.txt", "data"], names
        content: shoal.Added = store.add(b"bytes", pin_name="some bytes")
        store.add(io.BytesIO(b"file"), name="file")
        store.add(piece for piece in (b"a", bytearray(b"b"), memoryview(b"c")))
        many: list[shoal.Added] = store.add_many([folder / "data" / "a.txt"], wrap=True)
        assert many[0].kind == "directory"

        entry: shoal.Entry
        for entry in store.ls(added.cid, recursive=True):
            print(entry.name, entry.kind, entry.size)
        with store.open(added.cid / "a.txt") as file:
            assert file.readline() == b"first\n"
            file.seek(0)
            text = io.TextIOWrapper(io.BufferedReader(file), encoding="utf-8")
            assert text.read() == "first\nsecond\n"
        pieces: list[bytes] = list(store.cat(f"/ipfs/{added.cid}/a.txt"))
        assert b"".join(pieces) == store.read(added.cid / "a.txt")
        written: int = store.cat(added.cid / "a.txt", io.BytesIO())
        assert written == 13
        exported: shoal.Exported = store.get(added.cid, folder / "copy")
        assert exported.files == 1

        cid: shoal.CID = store.put(b"block", codec="raw", hash="sha2-256")
        block: shoal.Block = store.get_block(cid)
        assert bytes(block) == bytes(memoryview(block)) == b"block"
        cids: list[shoal.CID] = store.put_many([b"x", (shoal.CID.of(b"y"), b"y")])
        assert store.has_many(cids) == [True, True]
        node: shoal.CID = store.dag.put({"link": cid, "list": [1, 2.5, None, "text", b"bytes"]})
        assert store.dag.get(node)["link"] == cid
        stat: shoal.DagStat = store.dag.stat(added.cid)
        assert stat.blocks == 2
        size: int = store.dag.export_car(added.cid, folder / "data.car")
        assert size == (folder / "data.car").stat().st_size
        imported: shoal.Imported = store.dag.import_car(folder / "data.car")
        assert imported.new_blocks == 0
        pins: list[shoal.Pin] = store.pins.ls(name="some bytes")
        assert [pin.cid for pin in pins] == [content.cid]
        report: shoal.VerifyReport = store.verify()
        collected: shoal.Collected = store.gc(dry_run=True)
        assert report.ok
        assert collected.dry_run
        try:
            store.get_block("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq")
        except NotFound as error:
            assert error.cid is not None
        except Damaged as error:
            sys.exit(error.exit_code)
        return added.cid


async def asynchronous(folder: Path, cid: shoal.CID) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for n in range(3):
            await anyio.sleep(0)
            yield bytes([n])

    async with shoal.Node(folder / "store") as node:
        operation: shoal.Operation[shoal.Added] = node.add(folder / "data")
        async for progress in operation:
            hear(progress)
        added: shoal.Added = await operation
        assert (await node.add(pieces())).bytes == 3
        async with node.open(cid / "a.txt") as file:
            await file.seek(6)
            data: bytes = await file.read(6)
        assert data == b"second"
        async for entry in node.ls(added.cid):
            print(entry.name)
        async for piece in node.cat(added.cid / "a.txt"):
            print(len(piece))
        with anyio.move_on_after(60):
            exported: shoal.Exported = await node.get(added.cid, folder / "async-copy")
            assert exported.bytes == 13
        block: shoal.CID = await node.block.put(b"more")
        assert await node.block.has(block)
        assert await node.dag.get(added.cid / "a.txt") == b"first\nsecond\n"
        assert (await node.pin.ls(kind="recursive"))[0].kind == "recursive"
        assert (await node.repo.stat()).blocks > 0
        assert (await node.verify()).ok


def main(folder: Path) -> None:
    try:
        cid = synchronous(folder)
        anyio.run(asynchronous, folder, cid)
    except ShoalError as error:
        print(f"shoal: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
