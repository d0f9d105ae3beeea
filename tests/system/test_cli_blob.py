"""`shoal add --layout blob` and `shoal blob`: whole files under one CID, and their parts."""

from __future__ import annotations

GROUP = 16 * 1024
SIZE = 3 * 1024 * 1024 + 5


def test_a_blob_is_added_looked_at_and_given_in_parts(shoal, tmp_path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(range(256)) * (SIZE // 256) + b"12345")
    cid = shoal("add", "-Q", "--layout", "blob", tmp_path / "model.bin").word
    assert shoal("cat", "--offset", str(SIZE - 5), cid).raw == b"12345"
    assert shoal("blob", "present", "--json", cid).json["whole"] is True
    part = tmp_path / "part.slice"
    shoal("blob", "export", "--range", "0+1", cid, "-o", part)
    assert part.stat().st_size > GROUP
    whole = shoal("blob", "export", cid).raw
    other = ("--store", tmp_path / "other-store")
    assert "16384 of" in shoal("blob", "import", *other, "--range", "0+1", cid, part).out
    assert shoal("blob", "present", *other, cid).lines[1] == "0+16384"
    shoal("cat", *other, cid, code=3)
    assert shoal("blob", "import", *other, "--json", cid, stdin=whole).json["present_bytes"] == SIZE
    assert shoal("cat", *other, "--length", "3", cid).raw == b"\x00\x01\x02"
    shoal("blob", "discard", *other, cid, code=3)
    assert len(shoal("blob", "export", "--outboard", cid).raw) == 64 * (SIZE // GROUP)
    lines = shoal("repo", "stat").out.splitlines()
    assert any(line.split() == ["NumBlobs:", "1"] for line in lines)


def test_flags_that_contradict_are_usage_errors(shoal, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for flags in (
        ["--layout", "blob", "--hash", "sha2-256"],
        ["--layout", "blob", "-t"],
        ["--layout", "blob", "--preserve-mode"],
    ):
        shoal("add", *flags, tmp_path / "file", code=2)
    cid = shoal("add", "-Q", "--layout", "blob", tmp_path / "file").word
    for text in ("x", "1+", "+1", "-1", f"{1 << 63}-"):
        shoal("blob", "export", "--range", text, cid, code=2)
    assert (
        shoal("add", "-Q", "--layout", "trickle", tmp_path / "file").word
        == shoal("add", "-Q", "-t", tmp_path / "file").word
    )
