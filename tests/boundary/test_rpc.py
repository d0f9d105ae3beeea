"""The RPC as an application, without a server: what each verb answers, on asyncio and trio, and that directories are the store's."""

from __future__ import annotations

import io
import json
import os
import tarfile
from contextlib import asynccontextmanager

import httpx
import pytest

import shoal
from shoal.http.limits import RpcLimits
from shoal.http.rpc import Rpc, RpcRules
from shoal.http.rpc.directory import Child, Meta, directory, symlink

pytestmark = [pytest.mark.anyio]

PAINTED = bytes(at * at % 251 for at in range(600_000))
ABSENT = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
TOKEN = "a secret of some length"


def file(name: str, data: bytes = b"", kind: str = "application/octet-stream"):
    return "file", (name, data, kind)


DIRECTORY, SYMLINK = "application/x-directory", "application/symlink"
TREE = [
    file("d", kind=DIRECTORY),
    file("d%2Fa.txt", b"hello\n"),
    file("d%2Fsub", kind=DIRECTORY),
    file("d%2Fsub%2Fb.txt", b"sub\n"),
    file("d%2Flink", b"a.txt", SYMLINK),
    file("d%2Fempty", kind=DIRECTORY),
    file("d%2Fbig", PAINTED),
]


class Client:
    """Calls verbs, and reads what they answer."""

    def __init__(self, http: httpx.AsyncClient, node: shoal.Node) -> None:
        self.http, self.node = http, node

    async def raw(self, verb: str, files=None, content=None, headers=None, **options) -> httpx.Response:
        pairs = [
            (name.replace("_", "-"), one)
            for name, value in options.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        return await self.http.post(f"/api/v0/{verb}", params=pairs, files=files, content=content, headers=headers)

    async def __call__(self, verb: str, files=None, **options):
        """The one value, or the list of records."""
        answer = await self.raw(verb, files, **options)
        assert answer.status_code == 200, answer.text
        records = [json.loads(line) for line in answer.text.splitlines()]
        return records if "x-chunked-output" in answer.headers else records[0]

    async def error(self, verb: str, files=None, **options) -> str:
        answer = await self.raw(verb, files, **options)
        record = answer.json()
        assert (answer.status_code, list(record), record["Code"], record["Type"]) == (
            500,
            ["Message", "Code", "Type"],
            0,
            "error",
        )
        return record["Message"]


@asynccontextmanager
async def rpc(tmp_path, **limits):
    async with shoal.Node(tmp_path / "store") as node:
        app = Rpc(node, RpcRules(token=TOKEN, limits=RpcLimits(**limits)))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            yield Client(client, node)
        assert app.active == 0


async def test_a_tree_gets_kubos_cids_and_is_pinned(tmp_path):
    async with rpc(tmp_path) as call:
        assert await call("add", TREE[:-1]) == [
            {"Name": "d/a.txt", "Hash": "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN", "Size": "14"},
            {"Name": "d/sub/b.txt", "Hash": "QmVpJWKCh3QbJYGWyPXXBY4t95B89uEMNT7VUoD2JtkpH9", "Size": "12"},
            {"Name": "d/link", "Hash": "QmS9U51FvTAqDDVLJ5okMzeLjsEeg8JEG1rPmSq2oPahF6", "Size": "11"},
            {"Name": "d/empty", "Hash": "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "Size": "4"},
            {"Name": "d/sub", "Hash": "QmXsnUxrnaJduwv1u8U3qTjAtyYNYPvTLCnpszPFHbEYEZ", "Size": "63"},
            {"Name": "d", "Hash": "QmZDhXD8TvCcLztvLVk8FQXroB6jqN2SgjdjVyCxVv3Zqo", "Size": "281"},
        ]
        pins = await call.node.pin.ls()
        assert [(str(pin.cid), pin.kind) for pin in pins] == [
            ("QmZDhXD8TvCcLztvLVk8FQXroB6jqN2SgjdjVyCxVv3Zqo", "recursive")
        ]
        # Nothing of it is lost when the store collects.
        await call.node.gc()
        assert (
            await call.raw("cat", arg="QmZDhXD8TvCcLztvLVk8FQXroB6jqN2SgjdjVyCxVv3Zqo/sub/b.txt")
        ).content == b"sub\n"


async def test_options_of_add_mean_what_they_mean_in_kubo(tmp_path):
    hello = [file("a.txt", b"hello\n")]
    v1 = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"
    async with rpc(tmp_path) as call:
        assert (await call("add", hello, cid_version="1"))[0]["Hash"] == v1
        wrapped = await call("add", hello, cid_version="1", wrap_with_directory="true")
        assert wrapped[1] == {
            "Name": "",
            "Hash": "bafybeihm2fwylxiush5wrtgc2kxhfwffodhjhfdickb6qc6zufwiu6uwty",
            "Size": "59",
        }
        assert (await call("add", hello, only_hash="true", trickle="true"))[0][
            "Hash"
        ] == "QmcFUHo1DBpydnTSeuXszKgQqnXQCJq6Wu1BUdzEfuRahM"
        assert (await call("add", hello, hash="blake3"))[0]["Hash"].startswith("bafkr4i")
        assert (await call("add", hello, inline="true", cid_version="1"))[0]["Hash"] == "bafkqabtimvwgy3yk"
        assert (await call("add", [file("", b"hello\n")]))[0][
            "Name"
        ] == "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN"
        assert (await call("add", [file("", b"hello\n")], mode="0644", mtime="1"))[0][
            "Hash"
        ] == "QmRBmcqLAg5xQQfdRJt1rN8vJmeoWNDx67jvMqrsCURSSt"
        assert await call("add", hello, silent="true") == []
        named = await call("add", [file("z", b"named")], pin_name="mine")
        assert {pin.name for pin in await call.node.pin.ls(cid=named[0]["Hash"])} == {"mine"}
        told = await call("add", TREE[-1:], progress="true")
        assert told[-3]["Bytes"] == 600_000
        assert [list(record) for record in told[-2:]] == [["Name", "Hash", "Size"]] * 2
        for options in (
            {"chunker": "x"},
            {"hash": "x"},
            {"cid_version": "7"},
            {"cid_version": "0", "hash": "blake3"},
            {"nocopy": "true"},
            {"to_files": "/x"},
            {"mode": "9"},
        ):
            assert await call.error("add", hello, **options)


async def test_what_is_wrapped_is_told_once_and_pinned_as_one(tmp_path):
    async with rpc(tmp_path) as call:
        told = await call("add", [file("d/a", b"a"), file("d/s/b", b"b"), file("c", b"c")], wrap_with_directory="true")
        assert [record["Name"] for record in told] == ["d/a", "d/s/b", "c", "d/s", "d", ""]
        assert [str(pin.cid) for pin in await call.node.pin.ls()] == [told[-1]["Hash"]]
        apart = await call("add", [file("d/a", b"a"), file("c", b"c")])
        assert [record["Name"] for record in apart] == ["d/a", "c", "d"]
        assert {str(pin.cid) for pin in await call.node.pin.ls()} == {
            told[-1]["Hash"],
            apart[1]["Hash"],
            apart[2]["Hash"],
        }


async def test_only_hash_and_an_add_that_fails_leave_no_pin_and_nothing_that_is_kept(tmp_path):
    async with rpc(tmp_path, entries_max=3) as call:
        await call("add", TREE[:2], only_hash="true")
        assert (await call.node.stat()).blocks == 0
        assert "at most 3 files" in await call.error("add", TREE, silent="true")
        assert await call.node.pin.ls() == []
        assert (await call.node.gc()).kept_blocks == 0


async def test_a_body_that_is_cut_is_an_error_and_not_a_short_file(tmp_path):
    async with rpc(tmp_path) as call:
        body = b'--B\r\nContent-Disposition: form-data; filename="f"\r\n\r\n' + PAINTED
        answer = await call.raw("add", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
        assert (answer.status_code, "unexpected EOF" in answer.text) == (400, True)
        assert (await call.node.stat()).blocks == 0


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("profile", ["unixfs-v0-2015", "unixfs-v1-2025", "blake3"])
def test_directories_are_those_that_the_store_makes_of_a_folder(tmp_path, profile, count):
    """Of a folder, at each size around the one at which it is sharded, with names of many kinds."""
    tree = tmp_path / "tree"
    tree.mkdir()
    names = [f"{at}-{'ź' * (at % 7)}" for at in range(count)] + ([os.fsdecode(b"\xff\xfe")] if count else [])
    for name in names:
        (tree / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    base = shoal.Profile.named(profile)
    with shoal.Store(tmp_path / "store") as store:
        children: dict[str, Child] = {}
        for name in names:
            added = store.add(tree / name, profile=base, only_hash=True)
            children[name] = Child(added.cid, added.dag_bytes)
        for change in (
            {},
            {"hamt_threshold_bytes": 100},
            {"hamt_threshold_bytes": 100, "hamt_fanout": 8},
            {"directory_links_max": 5},
            *({"hamt_threshold_bytes": limit} for limit in range(200, 2600, 97)),
        ):
            rules = base.replace(**change)
            wanted = store.add(tree, profile=rules, only_hash=True)
            made, blocks = directory(rules, children, Meta())
            assert (made.cid, made.dag_bytes) == (wanted.cid, wanted.dag_bytes), change
            assert blocks[-1][0] == made.cid


def test_links_and_modes_and_times_are_those_that_the_store_keeps(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    os.symlink("../elsewhere", tree / "link")
    os.utime(tree, ns=(0, 1_234_567_890_123_456_789))
    os.utime(tree / "link", ns=(0, 5_000_000_000), follow_symlinks=False)
    tree.chmod(0o751)
    rules = shoal.Profile.UNIXFS_V1_2025.replace(raw_leaves=False)
    with shoal.Store(tmp_path / "store") as store:
        plain, _ = symlink(rules, b"../elsewhere", Meta())
        assert directory(rules, {"link": plain}, Meta())[0].cid == store.add(tree, profile=rules, only_hash=True).cid
        wanted = store.add(tree, profile=rules, only_hash=True, preserve_mode=True, preserve_mtime=True)
        link, _ = symlink(rules, b"../elsewhere", Meta(0o777, (5, 0)))
        made, _ = directory(rules, {"link": link}, Meta(0o751, (1_234_567_890, 123_456_789)))
        assert (made.cid, made.dag_bytes) == (wanted.cid, wanted.dag_bytes)


async def test_files_are_read_whole_and_in_parts(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE))[-1]["Hash"]
        big, text = f"/ipfs/{root}/big", f"{root}/a.txt"
        answer = await call.raw("cat", arg=big)
        assert answer.content == PAINTED
        assert {name: answer.headers[name] for name in ("content-type", "x-stream-output", "x-content-length")} == {
            "content-type": "text/plain",
            "x-stream-output": "1",
            "x-content-length": "600000",
        }
        both = PAINTED + b"hello\n"
        for offset, length in [(0, 0), (1, 5), (262_143, 2), (599_999, 3), (600_000, 6), (600_001, 99), (700_000, 1)]:
            found = await call.raw("cat", arg=[big, text], offset=str(offset), length=str(length))
            assert found.content == both[offset : offset + length], (offset, length)
        assert await call.error("cat", arg=root) == "this dag node is a directory"
        assert await call.error("cat", arg=text, offset="-1") == "cannot specify negative offset"
        assert (
            await call.error("cat", arg=ABSENT)
            == f"block was not found locally (offline): ipld: could not find {ABSENT}"
        )
        assert 'no entry "none"' in await call.error("cat", arg=f"{root}/none")
        missing = await call.raw("cat")
        assert (missing.status_code, missing.text) == (400, 'argument "ipfs-path" is required\n')


async def test_get_gives_a_tar_and_may_compress_it(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE))[-1]["Hash"]
        plain = await call.raw("get", arg=f"{root}/sub")
        with tarfile.open(fileobj=io.BytesIO(plain.content)) as tar:
            assert [member.name for member in tar] == ["sub", "sub/b.txt"]
        packed = await call.raw("get", arg=f"{root}", archive="true", compress="true")
        with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as tar:
            assert tar.extractfile(f"{root}/big").read() == PAINTED
        import gzip

        assert gzip.decompress((await call.raw("get", arg=f"{root}/big", compress="true")).content) == PAINTED
        assert "not regular" in await call.error("get", arg=root, compress="true")


async def test_listings_have_kubos_numbers_and_names(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE))[-1]["Hash"]
        whole = await call("ls", arg=root)
        assert whole["Objects"][0]["Hash"] == root
        assert [
            (link["Name"], link["Size"], link["Type"], link["Target"]) for link in whole["Objects"][0]["Links"]
        ] == [
            ("a.txt", 6, 2, ""),
            ("big", 600_000, 2, ""),
            ("empty", 0, 1, ""),
            ("link", 5, 4, "a.txt"),
            ("sub", 0, 1, ""),
        ]
        assert list(whole["Objects"][0]["Links"][0]) == ["Name", "Hash", "Size", "Type", "Target", "Mode", "ModTime"]
        streamed = await call("ls", arg=f"/ipfs/{root}", stream="true")
        assert [record["Objects"][0]["Links"][0] for record in streamed] == whole["Objects"][0]["Links"]
        assert await call("ls", arg=f"{root}/a.txt") == {"Objects": [{"Hash": f"{root}/a.txt", "Links": []}]}


async def test_references_are_listed_and_what_is_missing_is_a_record(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE[:2]))[-1]["Hash"]
        leaf = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN"
        assert await call("refs", arg=root) == [{"Ref": leaf, "Err": ""}]
        assert await call("refs", arg=root, edges="true") == [{"Ref": f"{root} -> {leaf}", "Err": ""}]
        assert await call("refs", arg=root, format="<linkname>:<src>") == [{"Ref": f"a.txt:{root}", "Err": ""}]
        assert (await call("refs", arg=ABSENT))[0]["Err"].endswith(f"could not find {ABSENT}")
        assert {record["Ref"] for record in await call("refs/local")} == {root, leaf}


async def test_blocks_are_put_told_given_and_deleted(tmp_path):
    async with rpc(tmp_path) as call:
        block = [file("", b"some block")]
        cid = "bafkreifzvhyeese4fyc35qjza27w6tavz7b3cd3t7q4mkeght75s4sbfku"
        assert await call("block/put", block) == [{"Key": cid, "Size": 10}]
        assert (await call("block/put", block, format="v0"))[0][
            "Key"
        ] == "QmaqQRnPzsBzVrJ6jhsUBbZ7LCEYMHxSksjU5trKdLrzm2"
        assert (await call("block/put", block, cid_codec="dag-cbor", mhtype="sha2-512"))[0]["Key"].startswith("bafyrgq")
        assert await call("block/stat", arg=cid) == {"Key": cid, "Size": 10}
        assert (await call.raw("block/get", arg=cid)).content == b"some block"
        assert await call("block/rm", arg=[cid, ABSENT]) == [
            {"Hash": cid},
            {"Hash": ABSENT, "Error": f"ipld: could not find {ABSENT}"},
        ]
        assert await call("block/rm", arg=ABSENT, force="true") == [{"Hash": ABSENT}]
        await call("block/put", block, pin="true")
        assert (await call("block/rm", arg=cid, quiet="true"))[0]["Error"] == "pinned: recursive"
        at_most = [file("", bytes(2 << 20))]
        assert (await call("block/put", at_most))[0]["Size"] == 2 << 20
        assert "at most" in (await call.raw("block/put", [file("", bytes((2 << 20) + 1))])).text


async def test_objects_go_in_and_come_out_in_any_codec(tmp_path):
    async with rpc(tmp_path) as call:
        text = b'{"b":{"/":{"bytes":"aGk"}}, "a":[1,{"/":"bafkqaaa"}]}'
        (put,) = await call("dag/put", [file("", text)])
        cid = put["Cid"]["/"]
        assert (await call.raw("dag/get", arg=cid)).text == '{"a":[1,{"/":"bafkqaaa"}],"b":{"/":{"bytes":"aGk"}}}'
        assert (await call.raw("dag/get", arg=f"{cid}/a/0")).text == "1"
        assert (await call.raw("dag/get", arg=cid, output_codec="dag-cbor")).content[:1] == b"\xa2"
        assert await call("dag/resolve", arg=f"{cid}/a/0") == {"Cid": {"/": cid}, "RemPath": "/a/0"}
        assert "one of" in await call.error("dag/put", [file("", text)], store_codec="x")
        await call.error("dag/get", arg=f"{cid}/zz")


async def test_a_dag_goes_out_as_a_car_and_comes_back(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE))[-1]["Hash"]
        (stat,) = await call("dag/stat", arg=[root, f"{root}/sub"])
        assert list(stat) == ["UniqueBlocks", "TotalSize", "SharedSize", "Ratio", "DagStats"]
        assert (stat["UniqueBlocks"], stat["SharedSize"]) == (stat["DagStats"][0]["NumBlocks"], 63)
        car = (await call.raw("dag/export", arg=root)).content
        assert await call.node.dag.export_car(root, tmp_path / "own.car") == len(car)
        assert (tmp_path / "own.car").read_bytes() == car
    async with rpc(tmp_path / "other") as call:
        assert await call("dag/import", [file("", car)], stats="true") == [
            {"Root": {"Cid": {"/": root}, "PinErrorMsg": ""}},
            {"Stats": {"BlockCount": stat["UniqueBlocks"], "BlockBytesCount": stat["TotalSize"]}},
        ]
        assert (await call.raw("cat", arg=f"{root}/big")).content == PAINTED
        assert "cut short" in await call.error("dag/import", [file("", car[:-20])])


async def test_pins_are_made_listed_moved_and_dropped(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE, pin="false"))[-1]["Hash"]
        other = (await call("add", [file("o", b"other")], pin="false"))[0]["Hash"]
        assert await call("pin/ls") == {"Keys": {}}
        assert await call("pin/add", arg=root, name="xy") == {"Pins": [root]}
        assert (await call("pin/add", arg=root, name="xy", progress="true"))[-1] == {"Pins": [root]}
        assert await call("pin/ls", type="recursive", names="true") == {
            "Keys": {root: {"Type": "recursive", "Name": "xy"}}
        }
        assert (await call("pin/ls", arg=f"{root}/a.txt"))["Keys"].popitem()[1]["Type"] == "indirect"
        assert len((await call("pin/ls"))["Keys"]) > 5
        assert await call("pin/ls", stream="true", type="recursive") == [{"Cid": root, "Type": "recursive"}]
        assert await call.error("pin/add", arg=root, recursive="false") == f"pin: {root} already pinned recursively"
        assert await call.error("pin/ls", arg=other) == f"path '{other}' is not pinned"
        assert await call("pin/update", arg=[root, other]) == {"Pins": [root, other]}
        assert await call("pin/ls", names="true") == {"Keys": {other: {"Type": "recursive", "Name": "xy"}}}
        assert await call("pin/verify", verbose="true") == [{"Cid": other, "Ok": True}]
        assert await call("pin/rm", arg=other) == {"Pins": [other]}
        assert await call.error("pin/rm", arg=other) == "not pinned or pinned indirectly"
        assert await call("repo/gc") == []
        assert (await call("repo/stat"))["NumObjects"] == 0


async def test_a_hurt_pin_is_named(tmp_path):
    async with rpc(tmp_path) as call:
        root = (await call("add", TREE))[-1]["Hash"]
        leaf, _ = await call.node.resolve(f"{root}/a.txt")
        await call.node.block.rm(leaf, force=True)
        assert await call("pin/verify") == [
            {"Cid": root, "Ok": False, "BadNodes": [{"Cid": str(leaf), "Err": "block is not here"}]}
        ]


async def test_the_store_and_the_server_tell_of_themselves(tmp_path):
    async with rpc(tmp_path) as call:
        assert list(await call("id")) == ["ID", "PublicKey", "Addresses", "AgentVersion", "Protocols"]
        assert (await call("version"))["Version"] == "0.42.0"
        assert list(await call("repo/stat")) == ["RepoSize", "StorageMax", "NumObjects", "RepoPath", "Version"]
        assert await call("repo/version") == {"Version": "1"}
        assert (await call("repo/verify"))[-1] == {"Msg": "verify complete, all blocks validated.", "Progress": 0}
        assert await call("config", arg="Addresses.API") == {"Key": "Addresses.API", "Value": "/ip4/127.0.0.1/tcp/5001"}
        assert "no such key" in await call.error("config", arg="No.Such")
        await call.error("config", arg=["Addresses.API", "x"])
        assert {verb["Name"] for verb in (await call("commands"))["Subcommands"]} >= {"add", "block", "dag", "pin"}
        assert await call("resolve", arg="/ipfs/bafkqaaa") == {"Path": "/ipfs/bafkqaaa"}
        assert "ends it" in await call.error("shutdown")
        for verb in (
            "swarm/peers",
            "files/ls",
            "key/list",
            "name/publish",
            "bitswap/stat",
            "ping",
            "routing/findprovs",
        ):
            assert "not implemented" in await call.error(verb)


async def test_only_posts_to_verbs_are_answered(tmp_path):
    async with rpc(tmp_path) as call:
        for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH"):
            answer = await call.http.request(method, "/api/v0/version")
            assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
        for path in ("/", "/api/v0", "/api/v0/", "/api/v0/nope", "/api/v1/add", "/ipfs/bafkqaaa", "/api/v0/add/add"):
            assert (await call.http.post(path)).status_code == 404
        answer = await call.http.options("/api/v0/add")
        assert (answer.status_code, answer.headers["allow"]) == (204, "OPTIONS, POST")


async def test_a_call_may_say_how_long_it_waits(tmp_path):
    async with rpc(tmp_path) as call:
        assert (await call("version", timeout="10s"))["Version"]
        assert (await call.raw("version", timeout="soon")).status_code == 400


async def test_calls_beyond_the_limit_are_told_so(tmp_path):
    async with rpc(tmp_path, requests_max=0) as call:
        answer = await call.raw("version")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
