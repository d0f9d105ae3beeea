"""`shoal pin`, `gc`, `verify`, `repo` and `config`: the store as a whole."""

from __future__ import annotations

import shutil
import tomllib

import pytest


@pytest.fixture
def root(shoal, photos) -> str:
    return shoal("add", "-Q", "photos").word


def flip_a_byte(shoal) -> None:
    """Damages the last block of the store's largest pack."""
    pack = max((shoal.store / "packs").glob("*.car"), key=lambda file: file.stat().st_size)
    with pack.open("rb+") as opened:
        opened.seek(-1, 2)
        byte = opened.read(1)[0]
        opened.seek(-1, 2)
        opened.write(bytes([byte ^ 1]))


def test_pins_are_added_listed_and_removed(shoal, photos) -> None:
    root = shoal("add", "-Q", "--no-pin", "photos").word
    assert shoal("pin", "add", "--name", "trip", root).out == f"pinned {root} recursively\n"
    assert shoal("pin", "ls", "-t", "recursive", "--names").out == f"{root} recursive trip\n"
    assert shoal("pin", "ls", "--name", "tri").out == f"{root} recursive trip\n"
    assert shoal("pin", "ls", "-q", "-t", "recursive").out == f"{root}\n"
    assert shoal("pin", "rm", root).out == f"unpinned {root}\n"
    assert shoal("pin", "ls").out == ""
    assert "not pinned" in shoal("pin", "rm", root, code=1).errors


def test_a_direct_pin_keeps_one_block(shoal, photos) -> None:
    root = shoal("add", "-Q", "--no-pin", "photos").word
    assert shoal("pin", "add", "--recursive=false", root).out == f"pinned {root} directly\n"
    assert shoal("pin", "ls").out == f"{root} direct\n"
    shoal("pin", "rm", "--recursive", root, code=1)
    shoal("gc")
    assert shoal("refs", "local").lines == [root]


def test_what_is_below_a_pin_is_pinned_indirectly(shoal, root) -> None:
    sea = shoal("dag", "resolve", f"{root}/sea.txt").word
    assert shoal("pin", "ls", sea).out == f"{sea} indirect through {root}\n"
    assert f"{sea} indirect" in shoal("pin", "ls").lines
    assert len(shoal("pin", "ls", "-t", "indirect").lines) == 4
    shoal("pin", "ls", "-t", "direct", sea, code=1)


def test_gc_keeps_what_is_pinned_and_frees_the_rest(shoal, root) -> None:
    loose = shoal("block", "put", "notes.txt").word
    would = shoal("gc", "--dry-run", "--json").json
    assert (would["blocks"], would["bytes"], would["kept_blocks"], would["dry_run"]) == (1, 12, 5, True)
    shoal("block", "get", loose)
    did = shoal("gc", "--json").json
    assert (did["blocks"], did["bytes"], did["dry_run"]) == (1, 12, False)
    shoal("block", "get", loose, code=3)
    shoal("get", root, "-o", "copy")
    assert shoal("gc").out.startswith("removed 0 blocks")


def test_repo_stat_counts(shoal, root) -> None:
    stat = shoal("repo", "stat", "--json").json
    assert (stat["blocks"], stat["pins"], stat["path"]) == (5, 1, str(shoal.store))
    assert stat["disk_bytes"] >= stat["bytes"] > 0
    lines = dict(line.split(":", 1) for line in shoal("repo", "stat").lines)
    assert lines["NumObjects"].strip() == "5"
    assert lines["RepoPath"].strip() == str(shoal.store)
    assert shoal("repo", "stat", "-sH").word.split()[-1] in ("B", "kB")


def test_verify_ends_with_5_and_names_what_is_hurt(shoal, root) -> None:
    assert shoal("verify").out.startswith("verify complete, all blocks validated")
    assert shoal("verify", "--json").json == shoal("repo", "verify", "--json").json
    flip_a_byte(shoal)
    report = shoal("verify", "--json", code=5).json
    assert (report["ok"], len(report["damaged"]), report["roots"]) == (False, 1, [root])
    lines = shoal("verify", code=5).lines
    assert lines[0].startswith(f"damaged {report['damaged'][0]['cid']} ")
    assert f"hurt {root}" in lines
    run = shoal("get", root, "-o", "copy", code=5)
    assert run.errors.startswith("shoal: ")


def test_verify_names_the_file_that_is_hurt_and_repairs_it_from_another_store(shoal, root) -> None:
    shutil.copytree(shoal.store, shoal.folder / "backup")
    shoal("dag", "export", root, "-o", "backup.car")
    flip_a_byte(shoal)
    hurt = shoal("verify", "--json", code=5).json
    assert [(path["root"], path["missing"]) for path in hurt["paths"]] == [(root, False)]
    way = f"hurt {root}/{hurt['paths'][0]['path']}" if hurt["paths"][0]["path"] else f"damaged {root}"
    assert any(line.startswith(way) for line in shoal("verify", code=5).lines)
    lines = shoal("verify", "--repair", "backup").lines
    assert lines[-1].startswith("verify complete")
    assert lines[-2].startswith("repaired 1 blocks")
    assert shoal("verify", "--json").json["ok"]
    flip_a_byte(shoal)
    shoal("verify", code=5)
    assert shoal("verify", "--repair", "backup.car", "--json").json["repaired"] == 1
    shoal("get", root, "-o", "copy")
    assert "backup.zip" in shoal("verify", "--repair", "backup.zip", code=2).errors


def test_verify_is_slowed_down_and_goes_on_where_it_was_stopped(shoal, root) -> None:
    shoal("verify", "--rate", "1GB/s", "--resume", "state")
    assert not (shoal.folder / "state").exists()
    (shoal.folder / "letter").write_text("dear")
    assert "letter" in shoal("verify", "--resume", "letter", code=2).errors
    assert (shoal.folder / "letter").read_text() == "dear"
    shoal("verify", "--rate", "fast", code=2)
    shoal("verify", "--rate", "0", code=2)


@pytest.mark.parametrize(
    "words", [["repo", "stat"], ["pin", "ls"], ["refs", "local"], ["verify"], ["gc"], ["ls", "x"]], ids=" ".join
)
def test_reading_makes_no_store_where_there_is_none(shoal, words) -> None:
    assert "there is no store at" in shoal(*words, code=3).errors
    assert not shoal.store.exists()


def test_a_newer_store_tells_its_version_and_is_neither_opened_nor_migrated(shoal, root) -> None:
    assert shoal("repo", "version").out == "shoal-store@1\n"
    assert shoal("repo", "migrate").out.startswith("nothing to do")
    (shoal.store / "SHOAL").write_text("shoal store\nversion 7\n")
    assert shoal("repo", "version", "--json").json == {"found": 7, "known": 1}
    for words in (["verify"], ["repo", "migrate"], ["repo", "migrate", "--dry-run"]):
        errors = shoal(*words, code=1).errors
        assert "version 7" in errors
        assert "pip install --upgrade shoal" in errors
    assert (shoal.store / "SHOAL").read_text() == "shoal store\nversion 7\n"


def test_a_folder_that_is_not_a_store_is_left_alone(shoal) -> None:
    (shoal.folder / "mine").mkdir()
    (shoal.folder / "mine" / "letter").write_text("dear")
    run = shoal("add", "--store", "mine", "-", stdin=b"x", code=1)
    assert "mine" in run.errors
    assert [file.name for file in (shoal.folder / "mine").iterdir()] == ["letter"]


def test_config_shows_where_each_value_comes_from(shoal) -> None:
    shoal("config", "set", "add.profile", "unixfs-v1-2025")
    shown = shoal("config", "show", "--origin", "--json", SHOAL_ADD_PIN="false").json
    assert shown["add.profile"] == {"value": "unixfs-v1-2025", "origin": str(shoal.store / "config.toml")}
    assert shown["add.pin"] == {"value": False, "origin": "environment SHOAL_ADD_PIN"}
    assert shown["store.path"] == {"value": str(shoal.store), "origin": "environment SHOAL_PATH"}
    assert shown["output.color"]["origin"] == "default"
    assert shoal("config", "show", "--json", NO_COLOR="1").json["output.color"] == "never"
    assert shoal("config", "show", "--origin", "--store", "x").lines[0].endswith("# flag --store")


def test_config_decides_and_flags_win(shoal, photos) -> None:
    assert shoal("add", "-nQ", "notes.txt").word.startswith("bafkr4i")
    shoal("config", "set", "add.profile", "unixfs-v1-2025")
    assert shoal("add", "-nQ", "notes.txt").word.startswith("bafkrei")
    assert shoal("add", "-nQ", "notes.txt", SHOAL_ADD_PROFILE="unixfs-v0-2015").word.startswith("Qm")
    assert shoal("add", "-nQ", "--profile", "blake3", "notes.txt", SHOAL_ADD_PROFILE="unixfs-v0-2015").word.startswith(
        "bafkr4i"
    )
    shoal("config", "set", "add.pin", "off")
    shoal("add", "notes.txt")
    assert shoal("pin", "ls").out == ""


def test_config_set_leaves_the_rest_of_the_file_as_it_is(shoal) -> None:
    shoal("add", stdin=b"x")
    file = shoal.store / "config.toml"
    file.write_text('# mine\n[output]\ncolor = "never"  # I like it plain\n\n[add]\n# and quiet\n')
    shoal("config", "set", "add.pin", "false")
    shoal("config", "set", "output.progress", "never")
    shoal("config", "set", "store.pack_bytes_max", "64MiB")
    text = file.read_text()
    assert "# mine\n" in text
    assert "# I like it plain" in text
    assert "# and quiet\n" in text
    expected = {
        "output": {"color": "never", "progress": "never"},
        "add": {"pin": False},
        "store": {"pack_bytes_max": 64 << 20},
    }
    assert tomllib.loads(text) == expected
    shoal("config", "set", "output.color", "always")
    assert shoal("config", "get", "output.color").word == "always"
    assert shoal("config", "get", "--json", "store.pack_bytes_max").json["value"] == 64 << 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["get", "add.profil"], "did you mean add.profile?"),
        (["get", "zzz"], "known keys are"),
        (["set", "add.pin", "perhaps"], "true or false"),
        (["set", "store.path", "x"], "SHOAL_PATH"),
        (["set", "add.profile", "unixfs-v1-2026"], "unixfs-v1-2025"),
        (["set", "store.lock_wait_seconds", "-1"], "seconds"),
        (["set", "store.pack_bytes_max", "big"], "bytes"),
    ],
)
def test_a_setting_that_is_not_understood_is_an_error(shoal, words, says) -> None:
    run = shoal("config", *words, code=2)
    assert says in run.errors
    assert not (shoal.store / "config.toml").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[add]\nprofil = "blake3"\n', "did you mean add.profile?"),
        ("[add]\npin = 3\n", "true or false"),
        ("[add\n", "TOML"),
        ('[store]\npath = "x"\n', "SHOAL_PATH"),
        ('profile = "blake3"\n', "profile"),
    ],
)
def test_a_config_file_that_is_not_understood_stops_every_command(shoal, photos, text, says) -> None:
    shoal("add", stdin=b"x")
    (shoal.store / "config.toml").write_text(text)
    run = shoal("add", "notes.txt", code=2)
    assert says in run.errors
    assert "config.toml" in run.errors


def test_an_environment_value_that_is_not_understood_is_named(shoal) -> None:
    assert "SHOAL_ADD_PIN" in shoal("config", "show", code=2, SHOAL_ADD_PIN="perhaps").errors
