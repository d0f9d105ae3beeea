"""The gateway as an application, without a server: what each form of a request is answered with, on asyncio and trio."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import httpx
import pytest

import shoal
from shoal.http import Gateway, Limits, Rules, StaticLinks

pytestmark = [pytest.mark.anyio]

PAINTED = bytes(at * at % 251 for at in range(3_000_000))
FOREVER = "public, max-age=29030400, immutable"


@asynccontextmanager
async def gateway(tmp_path, rules=None, base="http://127.0.0.1"):
    """A store with a small tree, and a client of its gateway."""
    tree = tmp_path / "tree"
    (tree / "sub" / "leer").mkdir(parents=True)
    (tree / "a.txt").write_bytes(b"painted\n")
    (tree / "sub" / "ź <b>&'\".txt").write_bytes(b"special")
    (tree / "site").mkdir()
    (tree / "site" / "index.html").write_bytes(b"<p>index")
    (tree / "big").write_bytes(PAINTED)
    os.symlink("a.txt", tree / "link")
    async with shoal.Node(tmp_path / "store") as node:
        root = (await node.add(tree)).cid
        app = Gateway(node, rules)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            yield node, root, client


async def blocks_of(node, tmp_path, data: bytes) -> tuple[list[str], int]:
    """A CAR's roots as text and how many blocks it has, by a second store that checks them all."""
    path = tmp_path / f"{len(data)}.car"
    await anyio.to_thread.run_sync(path.write_bytes, data)
    async with shoal.Node(tmp_path / f"other-{len(data)}") as other:
        report = await other.dag.import_car(path, pin_roots=False)
        return [str(root) for root in report.roots], report.blocks


async def test_a_file_comes_with_its_type_length_and_names(tmp_path):
    async with gateway(tmp_path) as (node, root, client):
        answer = await client.get(f"/ipfs/{root}/a.txt")
        cid, _ = await node.resolve(root / "a.txt")
        assert (answer.status_code, answer.content) == (200, b"painted\n")
        wanted = {
            "content-type": "text/plain; charset=utf-8",
            "content-length": "8",
            "etag": f'"{cid}"',
            "cache-control": FOREVER,
            "x-ipfs-path": f"/ipfs/{root}/a.txt",
            "x-ipfs-roots": f"{root},{cid}",
            "x-content-type-options": "nosniff",
            "accept-ranges": "bytes",
            "access-control-allow-origin": "*",
        }
        assert {name: answer.headers.get(name) for name in wanted} == wanted


async def test_a_large_file_comes_whole_and_in_ranges(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        url = f"/ipfs/{root}/big"
        assert (await client.get(url)).content == PAINTED
        for first, last in [(0, 0), (1_048_575, 1_048_576), (0, 2_999_999), (2_999_999, 9_999_999), (65_535, 200_000)]:
            answer = await client.get(url, headers={"Range": f"bytes={first}-{last}"})
            assert answer.status_code == 206
            assert answer.content == PAINTED[first : last + 1]
            assert answer.headers["content-range"] == f"bytes {first}-{min(last, 2_999_999)}/3000000"
        answer = await client.get(url, headers={"Range": "bytes=3000000-"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */3000000")


async def test_several_ranges_come_as_parts(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        answer = await client.get(f"/ipfs/{root}/big", headers={"Range": "bytes=1-2,5-6,-1"})
        boundary = answer.headers["content-type"].partition("boundary=")[2]
        parts = answer.content.split(f"\r\n--{boundary}".encode())
        assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:4]] == [PAINTED[1:3], PAINTED[5:7], PAINTED[-1:]]
        assert b"Content-Range: bytes 2999999-2999999/3000000" in parts[3]
        assert parts[4] == b"--\r\n"
        assert int(answer.headers["content-length"]) == len(answer.content)


async def test_head_has_the_headers_of_get_and_no_body(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        for path in (
            f"/ipfs/{root}/a.txt",
            f"/ipfs/{root}/big",
            f"/ipfs/{root}?format=raw",
            f"/ipfs/{root}?format=car",
        ):
            got, head = await client.get(path), await client.head(path)
            assert head.content == b""
            assert head.status_code == got.status_code
            assert dict(head.headers) == dict(got.headers)


async def test_what_the_client_has_is_not_sent_again(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        for path in (
            f"/ipfs/{root}/a.txt",
            f"/ipfs/{root}/",
            f"/ipfs/{root}/site/",
            f"/ipfs/{root}?format=car",
            f"/ipfs/{root}?format=raw",
        ):
            tag = (await client.get(path)).headers["etag"]
            answer = await client.get(path, headers={"If-None-Match": f'"other", {tag}'})
            assert (answer.status_code, answer.content) == (304, b"")
            assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_directory_without_its_slash_redirects(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        answer = await client.get(f"/ipfs/{root}/sub?a=b")
        assert (answer.status_code, answer.headers["location"]) == (301, f"/ipfs/{root}/sub/?a=b")


async def test_a_directory_page_is_sorted_escaped_and_runs_nothing(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        page = await client.get(f"/ipfs/{root}/")
        names = ["a.txt", "big", "link", "site", "sub"]
        places = [page.text.index(f">{name}<") for name in names]
        assert places == sorted(places)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        inner = (await client.get(f"/ipfs/{root}/sub/")).text
        assert "ź &lt;b&gt;&amp;&#x27;&quot;.txt" in inner
        assert "<b>" not in inner
        assert f'href="/ipfs/{root}/sub/%C5%BA%20%3Cb%3E%26%27%22.txt"' in inner


async def test_a_directory_page_ends_at_its_limit_and_says_so(tmp_path):
    async with gateway(tmp_path, Rules(limits=Limits(listing_entries_max=2))) as (_, root, client):
        assert "Only the first 2 entries" in (await client.get(f"/ipfs/{root}/")).text


async def test_index_html_stands_for_its_directory(tmp_path):
    async with gateway(tmp_path) as (node, root, client):
        answer = await client.get(f"/ipfs/{root}/site/")
        cid, _ = await node.resolve(root / "site")
        assert (answer.text, answer.headers["etag"]) == ("<p>index", f'"{cid}"')
        assert answer.headers["x-ipfs-roots"] == f"{root},{cid}"


async def test_a_raw_block_is_its_bytes(tmp_path):
    async with gateway(tmp_path) as (node, root, client):
        for answer in (
            await client.get(f"/ipfs/{root}?format=raw"),
            await client.get(f"/ipfs/{root}", headers={"Accept": "application/vnd.ipld.raw"}),
        ):
            assert answer.content == bytes(await node.block.get(root))
            assert answer.headers["content-type"] == "application/vnd.ipld.raw"
            assert answer.headers["content-disposition"] == f'attachment; filename="{root}.bin"'
            assert answer.headers["etag"] == f'"{root}.raw"'
        assert answer.headers["content-location"] == f"/ipfs/{root}?format=raw"


async def test_a_blob_is_one_raw_block_of_any_size(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        cid = (await node.add(PAINTED, profile=shoal.Profile.BLAKE3.replace(layout="blob"))).cid
        assert (await client.get(f"/ipfs/{cid}?format=raw")).content == PAINTED
        assert (await client.get(f"/ipfs/{cid}")).content == PAINTED
        assert (await client.get(f"/ipfs/{cid}?format=car")).status_code == 400


async def test_the_probe_is_answered_without_a_store_having_anything(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        raw = await client.get("/ipfs/bafkqaaa?format=raw")
        assert (raw.status_code, raw.content) == (200, b"")
        car = await client.get("/ipfs/bafkqaaa?format=car")
        assert await blocks_of(node, tmp_path, car.content) == (["bafkqaaa"], 0)
        assert (await client.head("/ipfs/bafkqaaa?format=raw")).status_code == 200


async def test_a_car_of_all_is_what_dag_export_writes(tmp_path):
    async with gateway(tmp_path) as (node, root, client):
        answer = await client.get(f"/ipfs/{root}?format=car")
        await node.dag.export_car(root, tmp_path / "exported.car")
        assert answer.content == await anyio.to_thread.run_sync((tmp_path / "exported.car").read_bytes)
        assert answer.headers["content-type"] == "application/vnd.ipld.car; version=1; order=dfs; dups=n"
        assert answer.headers["etag"].startswith(f'W/"{root}.car.')


@pytest.mark.parametrize(
    ("path", "query", "blocks"),
    [
        ("", "dag-scope=block", 1),
        ("", "dag-scope=entity", 1),
        ("/a.txt", "", 2),
        ("/big", "dag-scope=block", 2),
        ("/big", "dag-scope=entity", 5),
        ("/big", "entity-bytes=0:0", 3),
        ("/big", "entity-bytes=1048575:1048576", 4),
        ("/big", "entity-bytes=-1:*", 3),
        ("/big", "entity-bytes=0:-2000001", 3),
        ("/big", "entity-bytes=3000000:*", 2),
        ("/big", "entity-bytes=5:4", 2),
        ("/sub", "entity-bytes=0:1", 2),
    ],
)
async def test_a_car_has_the_blocks_of_its_scope_and_of_the_path(tmp_path, path, query, blocks):
    async with gateway(tmp_path) as (node, root, client):
        answer = await client.get(f"/ipfs/{root}{path}?format=car&{query}")
        end, _ = await node.resolve(f"{root}{path}")
        assert await blocks_of(node, tmp_path, answer.content) == ([str(end)], blocks)


async def test_a_car_through_a_sharded_directory_proves_the_name(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        wide = tmp_path / "wide"
        wide.mkdir()
        for number in range(400):
            (wide / f"{number:03}").write_bytes(b"%d" % number)
        profile = shoal.Profile.BLAKE3.replace(hamt_threshold_bytes=1024, hamt_fanout=16)
        root = (await node.add(wide, profile=profile)).cid
        answer = await client.get(f"/ipfs/{root}/123?format=car")
        car = tmp_path / "path.car"
        await anyio.to_thread.run_sync(car.write_bytes, answer.content)
        async with shoal.Node(tmp_path / "only-the-path") as other:
            assert (await other.dag.import_car(car, pin_roots=False)).blocks < 6
            assert await other.read(root / "123") == b"123"
        whole = await client.get(f"/ipfs/{root}?format=car&dag-scope=entity")
        await anyio.to_thread.run_sync(car.write_bytes, whole.content)
        async with shoal.Node(tmp_path / "only-the-names") as other:
            await other.dag.import_car(car, pin_roots=False)
            async with anyio.create_task_group():
                names = [entry.name async for entry in other.ls(root, resolve=False)]
        assert len(names) == 400


async def test_duplicates_are_sent_as_often_as_they_occur_only_when_asked(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        root = (await node.add(bytes(4 * 1048576))).cid
        once = await client.get(f"/ipfs/{root}?format=car")
        often = await client.get(f"/ipfs/{root}?format=car&car-dups=y")
        assert len(often.content) - len(once.content) > 3 * 1048576
        assert "dups=y" in often.headers["content-type"]


async def test_a_range_of_a_file_that_repeats_itself_has_every_block_it_needs(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        profile = shoal.Profile.BLAKE3.replace(file_links_max=4, chunker="size-1024")
        data = (b"a" * 1024 + b"b" * 1024 + b"c" * 1024 + b"d" * 1024) * 4
        root = (await node.add(data, profile=profile)).cid
        answer = await client.get(f"/ipfs/{root}?format=car&entity-bytes=3000:15000")
        car = tmp_path / "part.car"
        await anyio.to_thread.run_sync(car.write_bytes, answer.content)
        async with shoal.Node(tmp_path / "part") as other:
            await other.dag.import_car(car, pin_roots=False)
            assert await other.read(root, 3000, 12001) == data[3000:15001]


async def test_a_car_that_cannot_be_finished_is_cut(tmp_path):
    async with gateway(tmp_path) as (node, _, client):
        cid = (await node.add(PAINTED, pin=False)).cid
        leaves = [link async for _, link, _ in node.refs(cid)]
        await node.block.rm(leaves[1], force=True)
        with pytest.raises(Exception, match="not all here"):
            await client.get(f"/ipfs/{cid}?format=car")
        with pytest.raises(Exception, match="not all here"):
            await client.get(f"/ipfs/{cid}")
        # What is asked for and here is given.
        answer = await client.get(f"/ipfs/{cid}", headers={"Range": "bytes=0-9"})
        assert answer.content == PAINTED[:10]


async def test_a_tar_unpacks_to_the_tree(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        answer = await client.get(f"/ipfs/{root}?format=tar")
        assert answer.headers["etag"] == f'W/"{root}.x-tar"'
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            members = {member.name.removeprefix(str(root)): member for member in tar}
            assert tar.extractfile(members["/big"]).read() == PAINTED
            assert tar.extractfile(members["/sub/ź <b>&'\".txt"]).read() == b"special"
            assert members["/sub/leer"].isdir()
            assert members["/link"].linkname == "a.txt"


async def test_objects_are_given_as_they_are_and_as_nothing_else(tmp_path):
    async with gateway(tmp_path) as (node, root, client):
        cid = await node.dag.put({"a": {"b": 1}, "file": root})
        plain = await client.get(f"/ipfs/{cid}")
        assert plain.content == bytes(await node.block.get(cid))
        assert plain.headers["content-type"] == "application/vnd.ipld.dag-cbor"
        assert (await client.get(f"/ipfs/{cid}?format=dag-json")).status_code == 406
        assert (await client.get(f"/ipfs/{cid}/a")).status_code == 501
        assert (await client.get(f"/ipfs/{cid}/x")).status_code == 404
        assert (await client.get(f"/ipfs/{cid}/file/a.txt")).content == b"painted\n"
        page = await client.get(f"/ipfs/{cid}", headers={"Accept": "text/html"})
        assert "</html>" in page.text


async def test_what_is_not_here_is_404_or_412_where_nothing_is_to_be_fetched(tmp_path):
    async with gateway(tmp_path) as (_, root, client):
        absent = shoal.CID.of(b"absent")
        for form in ("", "?format=raw", "?format=car", "?format=tar"):
            assert (await client.get(f"/ipfs/{absent}{form}")).status_code == 404
            cached = {"Cache-Control": "only-if-cached"}
            assert (await client.head(f"/ipfs/{absent}{form}", headers=cached)).status_code == 412
        assert (await client.get(f"/ipfs/{root}/nope")).status_code == 404
        assert (await client.get(f"/ipfs/{root}/a.txt/nope")).status_code == 404


async def test_a_denied_root_is_gone(tmp_path):
    async with gateway(tmp_path) as (node, root, _):
        cid, _ = await node.resolve(root / "a.txt")
        denying = httpx.ASGITransport(Gateway(node, Rules(denied=frozenset({cid}))))
        async with httpx.AsyncClient(transport=denying, base_url="http://127.0.0.1") as other:
            assert (await other.get(f"/ipfs/{cid}")).status_code == 410
            assert (await other.get(f"/ipfs/{root}/a.txt")).status_code == 410
            assert (await other.get(f"/ipfs/{root}/big")).status_code == 200


async def test_a_trustless_gateway_makes_nothing_that_cannot_be_checked(tmp_path):
    async with gateway(tmp_path, Rules(trustless_only=True)) as (_, root, client):
        assert (await client.get(f"/ipfs/{root}?format=raw")).status_code == 200
        assert (await client.get(f"/ipfs/{root}/")).status_code == 400
        assert (await client.get(f"/ipfs/{root}?format=tar")).status_code == 406


async def test_localhost_gives_each_root_its_own_origin(tmp_path):
    async with gateway(tmp_path, base="http://localhost:8080") as (node, root, client):
        answer = await client.get(f"/ipfs/{root}/a.txt?x=y")
        assert answer.headers["location"] == f"http://{root}.ipfs.localhost:8080/a.txt?x=y"
        assert (await client.get("/a.txt", headers={"Host": f"{root}.ipfs.localhost:8080"})).content == b"painted\n"
        assert (await client.get(f"/ipfs/{root}", headers={"Host": f"{root}.ipfs.localhost:8080"})).status_code == 404
        # Programs that check what they get need no origin.
        assert (await client.get(f"/ipfs/{root}?format=raw")).content == bytes(await node.block.get(root))


async def test_a_domain_leads_to_its_root_and_its_redirects_are_obeyed(tmp_path):
    async with gateway(tmp_path) as (node, _, _):
        site = tmp_path / "website"
        site.mkdir()
        (site / "_redirects").write_text("/old/* /new/:splat 302\n/* /404.html 404\n")
        (site / "404.html").write_text("nothing here")
        root = (await node.add(site)).cid
        rules = Rules(dnslink=StaticLinks({"site.example": f"/ipfs/{root}"}))
        transport = httpx.ASGITransport(Gateway(node, rules))
        async with httpx.AsyncClient(transport=transport, base_url="http://site.example") as client:
            moved = await client.get("/old/x")
            assert (moved.status_code, moved.headers["location"]) == (302, "/new/x")
            missing = await client.get("/nope")
            assert (missing.status_code, missing.text) == (404, "nothing here")
            assert missing.headers["x-ipfs-path"] == "/ipns/site.example/404.html"
            assert "cache-control" not in missing.headers
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.get("/ipns/site.example/404.html")).text == "nothing here"
            # Many roots share this origin: none of them may redirect.
            assert (await client.get("/ipns/site.example/old/x")).status_code == 404


async def test_one_request_too_many_is_told_to_come_again(tmp_path):
    async with gateway(tmp_path, Rules(limits=Limits(requests_max=0))) as (_, root, client):
        answer = await client.get(f"/ipfs/{root}/a.txt")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


async def test_a_store_that_takes_too_long_is_504(tmp_path, monkeypatch):
    import time

    async with gateway(tmp_path, Rules(limits=Limits(retrieval_seconds=0.05))) as (node, root, client):
        monkeypatch.setattr(node.store, "stat_path", lambda _: time.sleep(0.4))
        answer = await client.get(f"/ipfs/{root}/a.txt")
        assert (answer.status_code, answer.headers["retry-after"]) == (504, "10")
        await anyio.sleep(0.5)


async def test_a_client_that_takes_nothing_is_left(tmp_path):
    async with gateway(tmp_path) as (node, root, _):
        app = Gateway(node, Rules(limits=Limits(stall_seconds=0.1)))

        async def send(message):
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()

        with pytest.raises(Exception, match="took nothing"):
            await app(scope_of(f"/ipfs/{root}/big"), anyio.sleep_forever, send)
        assert app.active == 0


async def test_a_client_that_left_is_read_for_no_more(tmp_path):
    async with gateway(tmp_path) as (node, root, _):
        app = Gateway(node)
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            await anyio.sleep(0.01)

        await app(scope_of(f"/ipfs/{root}/big"), receive, send)
        assert sum(len(message.get("body", b"")) for message in sent) < len(PAINTED)
        assert app.active == 0


def scope_of(path: str) -> dict[str, object]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
