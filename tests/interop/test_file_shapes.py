"""Files: the DAG that any number of bytes becomes, by every rule that `add` has a flag for, is Kubo's.

Both programs read one folder of files whose sizes lie on every boundary, with small chunks and few links a node, so
that deep DAGs are cheap. Then the same at the sizes of the real profiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Pair

pytestmark = pytest.mark.interop

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64
LINKS = 4

LEAVES = [
    [],
    ["--raw-leaves=false"],
    ["--raw-leaves=true"],
    ["--cid-version=0"],
    ["--cid-version=1"],
    ["--cid-version=0", "--raw-leaves=true"],
    ["--cid-version=0", "--raw-leaves=false"],
    ["--cid-version=1", "--raw-leaves=false"],
    ["--hash=sha2-256"],
    ["--hash=blake3"],
    ["--hash=sha2-512"],
    ["--hash=blake3", "--raw-leaves=false"],
    ["--hash=sha2-512", "--raw-leaves=false"],
    ["--inline"],
    ["--inline", "--inline-limit=1"],
    ["--inline", "--inline-limit=64"],
    ["--inline", "--inline-limit=128"],
    ["--inline", "--raw-leaves=false"],
    ["--inline", "--inline-limit=128", "--raw-leaves=false"],
    ["--inline", "--inline-limit=128", "--hash=blake3"],
]


def _id(flags: list[str]) -> str:
    return " ".join(flags) or "plain"


def _written(folder: Path, sizes: set[int], data: bytes) -> Path:
    folder.mkdir()
    for size in sizes:
        (folder / f"{size:012}").write_bytes(data[:size])
    return folder


@pytest.fixture(scope="module")
def shapes(workspace: Path, paint: Callable[..., bytes]) -> Path:
    """Every number of chunks up to 140, each with a byte less and more, and three more levels' boundaries."""
    counts = {*range(141), *(LINKS**level for level in range(7))}
    sizes = {count * CHUNK + off for count in counts for off in (-1, 0, 1)} - {-1}
    return _written(workspace / "shapes", sizes, paint(max(sizes)))


@pytest.mark.parametrize("layout", [[], ["--trickle"]], ids=["balanced", "trickle"])
@pytest.mark.parametrize("flags", LEAVES, ids=_id)
@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_files_on_every_boundary_have_the_same_cids(
    pair: Pair, shapes: Path, profile: str, flags: list[str], layout: list[str]
):
    shape = [f"--chunker=size-{CHUNK}", f"--max-file-links={LINKS}"]
    pair.assert_same_add("-r", *shape, *layout, *flags, shapes.name, profile=profile, cwd=shapes.parent)


def test_the_oldest_profile_is_what_kubo_calls_by_that_name(pair: Pair, shapes: Path, workspace: Path):
    """Elsewhere it is compared with what Kubo does by default; here with Kubo told to do it."""
    told = pair.kubo.fresh(workspace / "told", "unixfs-v0-2015,test")
    arguments = ["add", "-r", "--only-hash", "--progress=false", shapes.name]
    shoal = pair.shoal.run("add", "-r", "--only-hash", "--profile=unixfs-v0-2015", shapes.name, cwd=shapes.parent)
    assert shoal == told.run(*arguments, cwd=shapes.parent)


@pytest.mark.parametrize("links", [2, 3, 7])
def test_any_number_of_links_gives_the_same_cids(pair: Pair, shapes: Path, links: int):
    for layout in ([], ["--trickle"]):
        flags = [f"--chunker=size-{CHUNK}", f"--max-file-links={links}", *layout]
        pair.assert_same_add("-r", *flags, shapes.name, cwd=shapes.parent)


@pytest.mark.parametrize("chunk", [1, 2, 255, 1000, 2 * MIB - 256])
def test_any_chunk_size_gives_the_same_cids(pair: Pair, workspace: Path, paint: Callable[..., bytes], chunk: int):
    sizes = {max(0, count * chunk + off) for count in (0, 1, 2, 3) for off in (-1, 0, 1)}
    folder = _written(workspace / f"chunk-{chunk}", sizes, paint(max(sizes)))
    pair.assert_same_add("-r", f"--chunker=size-{chunk}", folder.name, cwd=workspace)


@pytest.mark.parametrize("layout", [[], ["--trickle"]], ids=["balanced", "trickle"])
@pytest.mark.parametrize(("links", "levels"), [(174, 2), (1024, 1)])
def test_the_real_numbers_of_links_give_the_same_cids(
    pair: Pair, workspace: Path, paint: Callable[..., bytes], links: int, levels: int, layout: list[str]
):
    chunk = 256
    folder = workspace / f"links-{links}"
    if not folder.exists():
        counts = {links**level * times for level in range(1, levels + 1) for times in (1, 2)}
        sizes = {count * chunk + off for count in counts for off in (-chunk, -1, 0, 1, chunk)}
        _written(folder, sizes, paint(max(sizes)))
    flags = [f"--chunker=size-{chunk}", f"--max-file-links={links}", *layout]
    pair.assert_same_add("-r", *flags, folder.name, cwd=workspace)


def test_two_levels_of_1024_links_give_the_same_cids(
    pair: Pair, workspace: Path, paint: Callable[..., bytes], big: bool
):
    # Kubo takes a minute for a million leaves of 64 bytes, so the gate has a narrower second level of the same DAG.
    size = 1024 * 1024 * 64 if big else 1024 * 3 * 64
    folder = _written(workspace / "two-levels", {size - 1, size, size + 1}, paint(size + 1))
    pair.assert_same_add("-r", "--chunker=size-64", "--max-file-links=1024", folder.name, cwd=workspace)


@pytest.mark.parametrize(
    ("profile", "chunk", "flags"),
    [
        ("unixfs-v1-2025", MIB, ["--max-file-links=174"]),
        ("unixfs-v0-2015", 256 * KIB, []),
        ("blake3", MIB, ["--max-file-links=174"]),
    ],
)
def test_the_profiles_own_boundaries_give_the_same_cids(
    pair: Pair, workspace: Path, paint: Callable[..., bytes], profile: str, chunk: int, flags: list[str]
):
    full = 174 * chunk
    sizes = {0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, full, full + 1}
    folder = _written(workspace / f"real-{profile}", sizes, paint(max(sizes)))
    try:
        pair.assert_same_add("-r", folder.name, profile=profile, cwd=workspace)
        pair.assert_same_add("-r", *flags, folder.name, profile=profile, cwd=workspace)
    finally:
        for path in folder.iterdir():
            path.unlink()


def test_files_of_more_than_a_gibibyte_have_the_same_cids(
    pair: Pair, workspace: Path, paint: Callable[..., bytes], big: bool
):
    # Holes read as zeros: the sizes are real and the disk is not needed. The gate stays at 300 MiB.
    sizes = [1024 * MIB - 1, 1024 * MIB, 1024 * MIB + 1, 2300 * MIB] if big else [300 * MIB + 1]
    folder = workspace / "large"
    folder.mkdir()
    for size in sizes:
        with (folder / str(size)).open("wb") as file:
            for place in range(0, size - 4096, 7 * MIB):
                file.seek(place)
                file.write(paint(4096, seed=str(place)))
            file.truncate(size)
    for profile in ("unixfs-v1-2025", "blake3"):
        pair.assert_same_add("-r", folder.name, profile=profile, cwd=workspace)


@pytest.fixture(scope="module")
def streams(workspace: Path, paint: Callable[..., bytes]) -> Path:
    """Input that content-defined chunkers cut: random, constant, periodic, and everything short."""
    folder = workspace / "streams"
    folder.mkdir()
    random = paint(5_000_000)
    edges = [0, 1, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000]
    edges += [kib * KIB + off for kib in (32, 85, 128, 256, 341, 512) for off in (-1, 0, 1)]
    for size in edges:
        (folder / f"random-{size:08}").write_bytes(random[:size])
        (folder / f"zeros-{size:08}").write_bytes(bytes(size))
    (folder / "random").write_bytes(random)
    (folder / "zeros").write_bytes(bytes(3_000_000))
    (folder / "ones").write_bytes(b"\xff" * 2_000_000)
    (folder / "period").write_bytes(random[:997] * 3000)
    (folder / "text").write_bytes(b"".join(b"%d bottles of beer on the wall\n" % n for n in range(100_000)))
    (folder / "shifted").write_bytes(b"!" + random[:2_000_000])
    return folder


@pytest.fixture(scope="module")
def short_streams(workspace: Path, paint: Callable[..., bytes]) -> Path:
    """The same kinds of input, short enough for chunks of some dozens of bytes."""
    folder = workspace / "short-streams"
    folder.mkdir()
    random = paint(200_000, seed="short")
    for size in [*range(70), 127, 128, 129, 254, 255, 256, 257, 511, 512, 513, 1000, 10_000, 10_001]:
        (folder / f"random-{size:08}").write_bytes(random[:size])
        (folder / f"zeros-{size:08}").write_bytes(bytes(size))
    (folder / "random").write_bytes(random)
    (folder / "zeros").write_bytes(bytes(100_000))
    (folder / "period").write_bytes(random[:97] * 1000)
    return folder


@pytest.mark.parametrize(
    "chunker",
    [
        "rabin",
        "rabin-32768",
        "rabin-262144",
        "rabin-1000-3000-100000",
        "rabin-16384-32768-65536",
        "rabin-87381-262144-393216",
        "rabin-262144-524288-1048576",
        "buzhash",
    ],
)
def test_content_defined_chunkers_cut_at_the_same_places(pair: Pair, streams: Path, chunker: str):
    pair.assert_same_add("-r", f"--chunker={chunker}", streams.name, cwd=streams.parent)


@pytest.mark.parametrize("chunker", ["rabin-16-64-256", "rabin-17-65-255", "rabin-16-32-33", "rabin-100-1000-10000"])
def test_content_defined_chunkers_cut_short_input_at_the_same_places(pair: Pair, short_streams: Path, chunker: str):
    pair.assert_same_add("-r", f"--chunker={chunker}", short_streams.name, cwd=short_streams.parent)


@pytest.mark.parametrize("chunker", ["rabin", "buzhash"])
@pytest.mark.parametrize("flags", [["--trickle"], ["--raw-leaves=false"], ["--hash=blake3"]], ids=_id)
def test_content_defined_chunks_are_linked_alike(pair: Pair, streams: Path, chunker: str, flags: list[str]):
    pair.assert_same_add("-r", f"--chunker={chunker}", *flags, streams.name, cwd=streams.parent)


@pytest.mark.parametrize("chunker", ["rabin", "buzhash"])
def test_content_defined_chunkers_agree_under_the_oldest_profile(pair: Pair, streams: Path, chunker: str):
    pair.assert_same_add("-r", f"--chunker={chunker}", streams.name, profile="unixfs-v0-2015", cwd=streams.parent)


@pytest.mark.parametrize("size", [0, 1, 100, 3 * MIB + 7])
@pytest.mark.parametrize("flags", [[], ["--stdin-name=a name.txt"], ["--stdin-name=n", "-w"], ["-w"]], ids=_id)
def test_standard_input_gives_the_same_lines(pair: Pair, paint: Callable[..., bytes], size: int, flags: list[str]):
    for profile in ("unixfs-v1-2025", "unixfs-v0-2015", "blake3"):
        pair.assert_same_add(*flags, profile=profile, stdin=paint(size))


def test_quieter_prints_only_the_root(pair: Pair, shapes: Path):
    for flags in (["-Q"], ["--quieter"], ["-Q", "-w"]):
        arguments = ["-r", "--only-hash", *flags, shapes.name]
        theirs = pair.kubo.at("unixfs-v1-2025").run("add", *arguments, cwd=shapes.parent)
        ours = pair.shoal.run("add", "--profile=unixfs-v1-2025", *arguments, cwd=shapes.parent)
        assert ours == theirs
        assert ours.count(b"\n") == 1


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--mode=0644"],
        ["--mode=0755"],
        ["--mode=0001"],
        ["--mtime=1"],
        ["--mtime=-1"],
        ["--mtime=1700000000", "--mtime-nsecs=123456789"],
        ["--mtime=1700000000", "--mtime-nsecs=1"],
        ["--mtime=-5", "--mtime-nsecs=999999999"],
        ["--mode=0600", "--mtime=1234567890"],
    ],
    ids=_id,
)
def test_a_given_mode_and_time_give_the_same_cids(pair: Pair, shapes: Path, profile: str, flags: list[str]):
    # Kubo cannot do this with --only-hash: it reads back blocks that it did not keep.
    names = ["000000000000", "000000000001", "000000000065", "000000004097"]
    arguments = ["--chunker=size-64", "--raw-leaves=false", *flags, *names]
    pair.assert_same_add(*arguments, profile=profile, cwd=shapes, only_hash=False)
