"""`shoal demo` and `shoal bench`: the truth, a yardstick beside every figure, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

ROW = {
    "what",
    "bytes",
    "seconds",
    "mb_per_second",
    "yardstick",
    "yardstick_seconds",
    "yardstick_mb_per_second",
    "ratio",
}


@pytest.fixture(autouse=True)
def own_temporary_folder(shoal, tmp_path) -> None:
    (tmp_path / "scratch").mkdir()
    shoal.environment["TMPDIR"] = str(tmp_path / "scratch")


def test_the_demo_shows_the_whole_job(shoal) -> None:
    run = shoal("demo", "--size", "32MiB")
    for words in (
        "Working in",
        "added baf",
        "nothing stored",
        "identical to what was added",
        "from 1 peer, each checked",
        "verify found it",
        "refused",
        "ratio",
    ):
        assert words in run.out, words
    assert run.errors == ""
    assert not Path(run.lines[0].removeprefix("Working in ").partition(" (")[0]).exists()
    assert not shoal.store.exists(), "the demo touched the user's store"


def test_the_demo_in_json_has_cids_and_yardsticks(shoal) -> None:
    record = shoal("demo", "--size", "16MiB", "--json").json
    assert record["large_file"]["bytes"] == 16 << 20
    assert record["large_file"]["cid"].startswith("bafyb4i")
    assert record["second_add_new_bytes"] == 0
    assert record["read_back"] == "identical"
    assert record["damage"]["found"].startswith("bafk")
    assert {row["what"] for row in record["rows"]} >= {
        "add the standard library",
        "add the large file",
        "add the large file again",
        "move the large file",
        "verify the store",
    }
    assert record["moved"]["bytes"] >= 16 << 20
    assert record["moved"]["duplicate_bytes"] == 0
    assert all(row.keys() == ROW and row["yardstick_seconds"] > 0 and row["ratio"] > 0 for row in record["rows"])


def test_the_large_file_has_the_same_cid_everywhere(shoal) -> None:
    first = shoal("demo", "--size", "16MiB", "--json").json["large_file"]["cid"]
    assert first == shoal("demo", "--size", "16MiB", "--json").json["large_file"]["cid"]


def test_the_demo_keeps_its_folder_on_request(shoal) -> None:
    kept = Path(shoal("demo", "--size", "16MiB", "--keep", "--json").json["kept"])
    try:
        assert (kept / "store" / "packs").is_dir()
    finally:
        import shutil

        shutil.rmtree(kept)


def test_bench_puts_a_yardstick_beside_every_figure(shoal) -> None:
    record = shoal("bench", "--size", "16MiB", "--repeat", "1", "--json").json
    assert record["bytes"] == 16 << 20
    assert all(row.keys() == ROW and row["seconds"] > 0 and row["yardstick_seconds"] > 0 for row in record["rows"])
    jobs = " ".join(row["what"] for row in record["rows"])
    for job in ("blake3", "sha2-256", "cut", "add", "add again", "get", "cat"):
        assert job in jobs
    assert not Path(record["folder"]).exists()
    assert not shoal.store.exists()
