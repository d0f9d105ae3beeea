"""`--json` of every command: one object, or one per line, with these keys and these types. Programs rely on them."""

from __future__ import annotations

import pytest

INTEGER, TEXT, BOOLEAN, LIST = int, str, bool, list
MAYBE_INTEGER = (int, type(None))
MAYBE_TEXT = (str, type(None))
MAYBE_NUMBER = (int, float, type(None))

ADDED = {
    "cid": TEXT,
    "name": TEXT,
    "bytes": INTEGER,
    "new_bytes": MAYBE_INTEGER,
    "new_blocks": MAYBE_INTEGER,
    "files": INTEGER,
    "dag_bytes": INTEGER,
    "profile": TEXT,
    "stored": BOOLEAN,
    "kind": TEXT,
}
ENTRY = {
    "root": TEXT,
    "name": TEXT,
    "cid": TEXT,
    "kind": TEXT,
    "size": MAYBE_INTEGER,
    "dag_bytes": INTEGER,
    "mode": MAYBE_INTEGER,
    "mtime": MAYBE_NUMBER,
    "target": MAYBE_TEXT,
    "path": TEXT,
}
IMPORTED = {
    "adopted": MAYBE_TEXT,
    "roots": LIST,
    "blocks": INTEGER,
    "bytes": INTEGER,
    "new_blocks": INTEGER,
    "new_bytes": INTEGER,
    "pinned": BOOLEAN,
}
STAT = {
    "path": TEXT,
    "blocks": INTEGER,
    "bytes": INTEGER,
    "packs": INTEGER,
    "disk_bytes": INTEGER,
    "dead_bytes": INTEGER,
    "pins": INTEGER,
    "version": INTEGER,
    "blobs": INTEGER,
    "blob_bytes": INTEGER,
    "references": INTEGER,
    "reference_bytes": INTEGER,
}
PRESENCE = {"cid": TEXT, "bytes": INTEGER, "present_bytes": INTEGER, "whole": BOOLEAN, "ranges": LIST}
COLLECTED = {
    "blocks": INTEGER,
    "bytes": INTEGER,
    "kept_blocks": INTEGER,
    "kept_bytes": INTEGER,
    "dry_run": BOOLEAN,
    "packs_removed": INTEGER,
    "references_dropped": INTEGER,
}
REPORT = {
    "ok": BOOLEAN,
    "blocks": INTEGER,
    "bytes": INTEGER,
    "damaged": LIST,
    "missing": LIST,
    "roots": LIST,
    "paths": LIST,
    "paths_count": INTEGER,
    "resumed": INTEGER,
    "repaired": INTEGER,
    "repaired_bytes": INTEGER,
}
INSPECTED = {
    "cid": TEXT,
    "version": INTEGER,
    "base": TEXT,
    "codec": TEXT,
    "codec_code": INTEGER,
    "hash": TEXT,
    "hash_code": INTEGER,
    "digest_bytes": INTEGER,
    "digest": TEXT,
    "cid_v0": MAYBE_TEXT,
    "cid_v1": TEXT,
}

SCHEMAS = [
    (["add", "photos"], ADDED),
    (["add", "-Q", "photos"], ADDED),
    (["add", "--to-json", "notes.txt"], ADDED),
    (["get", "ROOT", "-o", "copy"], {"path": TEXT, "files": INTEGER, "bytes": INTEGER}),
    (["cat", "ROOT/sea.txt"], {"path": TEXT, "offset": INTEGER, "bytes": INTEGER, "base64": TEXT}),
    (["ls", "ROOT"], ENTRY),
    (["ls", "-R", "ROOT"], ENTRY),
    (["refs", "ROOT"], {"source": TEXT, "cid": TEXT, "name": TEXT}),
    (["refs", "local"], {"cid": TEXT}),
    (["block", "put", "notes.txt"], {"cid": TEXT, "bytes": INTEGER}),
    (["block", "get", "ROOT"], {"cid": TEXT, "bytes": INTEGER, "base64": TEXT}),
    (["block", "stat", "ROOT"], {"cid": TEXT, "bytes": INTEGER}),
    (["block", "rm", "LOOSE"], {"cid": TEXT, "removed": BOOLEAN}),
    (["blob", "present", "LOOSE"], PRESENCE),
    (["blob", "export", "LOOSE", "-o", "out.slice"], {"path": TEXT, "bytes": INTEGER}),
    (["blob", "discard", "--force", "LOOSE"], {"cid": TEXT, "discarded": BOOLEAN}),
    (["dag", "put", "record.json"], {"cid": TEXT}),
    (["dag", "get", "OBJECT"], {"title": TEXT, "year": INTEGER}),
    (["dag", "resolve", "ROOT/sea.txt"], {"cid": TEXT, "remainder": TEXT}),
    (
        ["dag", "stat", "ROOT"],
        {"dags": LIST, "unique_blocks": INTEGER, "total_bytes": INTEGER, "shared_bytes": INTEGER, "ratio": float},
    ),
    (["dag", "export", "ROOT", "-o", "out.car"], {"path": TEXT, "bytes": INTEGER}),
    (["dag", "import", "photos.car"], IMPORTED),
    (["pin", "add", "ROOT"], {"cid": TEXT, "kind": TEXT, "name": MAYBE_TEXT}),
    (["pin", "ls", "-t", "recursive"], {"cid": TEXT, "kind": TEXT, "name": MAYBE_TEXT}),
    (["pin", "ls", "ROOT/sea.txt"], {"cid": TEXT, "kind": TEXT, "name": MAYBE_TEXT, "through": TEXT}),
    (["pin", "rm", "ROOT"], {"cid": TEXT}),
    (["doctor"], {"check": TEXT, "verdict": TEXT, "what": TEXT, "advice": MAYBE_TEXT}),
    (["id"], {"id": TEXT, "addrs": LIST, "protocols": LIST, "agent": TEXT}),
    (["cid", "inspect", "ROOT"], INSPECTED),
    (["cid", "format", "ROOT"], {"cid": TEXT, "formatted": TEXT}),
    (["repo", "stat"], STAT),
    (["repo", "version"], {"found": INTEGER, "known": INTEGER}),
    (["repo", "migrate"], {"from_version": INTEGER, "to_version": INTEGER, "steps": LIST, "dry_run": BOOLEAN}),
    (
        ["repo", "references", "ls"],
        {"path": TEXT, "size": INTEGER, "mtime": float, "blocks": INTEGER, "bytes": INTEGER},
    ),
    (["repo", "references", "check"], {"files": INTEGER, "changed": LIST, "ok": BOOLEAN}),
    (["repo", "references", "forget", "photos"], {"paths": LIST, "blocks": INTEGER, "bytes": INTEGER}),
    (["gc"], COLLECTED),
    (["repo", "gc"], COLLECTED),
    (["verify"], REPORT),
    (["repo", "verify"], REPORT),
    (["config", "get", "add.pin"], {"key": TEXT, "value": BOOLEAN, "origin": TEXT}),
    (["config", "set", "add.pin", "true"], {"key": TEXT, "value": BOOLEAN, "file": TEXT}),
    (["completion", "bash"], {"shell": TEXT, "script": TEXT}),
    (["--version"], {"version": TEXT}),
]


@pytest.mark.parametrize(
    ("words", "schema"), [pytest.param(words, schema, id=" ".join(words)) for words, schema in SCHEMAS]
)
def test_every_line_is_an_object_with_these_keys(shoal, photos, words, schema) -> None:
    known = {
        "ROOT": shoal("add", "-Q", "photos").word,
        "LOOSE": shoal("block", "put", stdin=b"loose").word,
        "OBJECT": shoal("dag", "put", "record.json").word,
    }
    shoal("dag", "export", known["ROOT"], "-o", "photos.car")
    shoal("add", "--nocopy", "notes.txt")
    filled = [known.get(word.split("/")[0], word.split("/")[0]) + word[len(word.split("/")[0]) :] for word in words]
    run = shoal(*filled, "--json")
    assert run.json_lines, "nothing was printed"
    for record in run.json_lines:
        assert record.keys() == schema.keys()
        for key, kind in schema.items():
            assert isinstance(record[key], kind), f"{key} is {record[key]!r}"
    assert run.errors == ""


def test_config_show_is_one_object(shoal) -> None:
    shown = shoal("config", "show", "--json").json
    assert shown["add.pin"] is True
    assert shown["add.profile"] == "blake3"


def test_json_may_stand_before_the_command(shoal, photos) -> None:
    shoal("add", "notes.txt")
    assert shoal("--json", "repo", "stat").json == shoal("repo", "stat", "--json").json


def test_only_the_last_line_of_add_knows_what_was_new(shoal, photos) -> None:
    *before, last = shoal("add", "--json", "photos").json_lines
    assert all(record["new_bytes"] is None for record in before)
    assert last["new_bytes"] > 0
    assert last["files"] == 3
