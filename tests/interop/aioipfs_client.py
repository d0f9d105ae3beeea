"""What a program in Python does with an IPFS daemon, by aioipfs: prints what it got, as JSON, to be compared.

Use: aioipfs_client.py FOLDER PORT [TOKEN]. A process of its own, since the client leaves files open.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aioipfs


async def main(folder: Path, port: str, token: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    painted = (folder / "tree" / "big").read_bytes()
    client = aioipfs.AsyncIPFS(maddr=f"/ip4/127.0.0.1/tcp/{port}")
    if token:
        # Its own `auth` is not sent with every call.
        client.session.headers["Authorization"] = f"Bearer {token}"
    try:
        added = [entry async for entry in client.add(str(folder / "tree"), recursive=True)]
        found["added"] = sorted((entry["Name"], entry["Hash"], entry["Size"]) for entry in added)
        root = added[-1]["Hash"]
        found["v1"] = (await client.add_bytes(painted, cid_version=1))["Hash"]
        found["cat"] = await client.cat(f"{root}/big") == painted
        found["part"] = list(await client.cat(f"{root}/big", offset=262_143, length=3))
        found["ls"] = await client.ls(root)
        found["block"] = await client.block.put(str(folder / "block"))
        cid = found["block"]["Key"]
        found["block stat"] = await client.block.stat(cid)
        found["block get"] = (await client.block.get(cid)).decode()
        found["object"] = await client.dag.put(str(folder / "object.json"))
        object_cid = found["object"]["Cid"]["/"]
        found["dag get"] = json.loads(await client.dag.get(f"{object_cid}/list/1"))
        found["dag resolve"] = await client.dag.resolve(f"{object_cid}/list")
        car = await client.dag.car_export(root)
        found["car"] = len(car)
        # A new repository of Kubo's has pinned an empty directory.
        empty = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
        found["pins"] = sorted((await client.pin.ls(pintype="recursive"))["Keys"].keys() - {empty})
        found["unpinned"] = await client.pin.rm(root)
        # Its `refs.refs` reads one record only, from Kubo too.
        found["refs"] = len([ref["Ref"] async for ref in client.refs.local()]) > 5
        found["pinned"] = [state async for state in client.pin.add(root)][-1]["Pins"]
        await client.get(root, dstdir=str(folder / port))
        found["got"] = sorted(path.name for path in (folder / port).rglob("*"))
        found["version"] = (await client.version())["Version"]
        errors = []
        for path in ("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG", f"{root}/none", root):
            try:
                await client.cat(path)
            except aioipfs.APIError as error:
                errors.append((type(error).__name__, error.code))
        found["errors"] = errors
    finally:
        await client.close()
    return found


print(json.dumps(asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))))
