"""How runs end: exit codes, errors of one line, Ctrl-C, readers that go away, and what a terminal gets to see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

ABSENT = "bafkreihl5forbtar4j55rvgrz2i3y4swmxo3vjwkesmo6ofirjmk2sgnwq"
EVERY_READER = [
    ["cat"],
    ["get"],
    ["ls"],
    ["refs"],
    ["block", "get"],
    ["block", "stat"],
    ["dag", "get"],
    ["dag", "stat"],
    ["dag", "export"],
    ["pin", "add"],
]


@pytest.mark.parametrize("words", EVERY_READER, ids=" ".join)
def test_an_absent_cid_ends_with_3(shoal, words) -> None:
    shoal("add", stdin=b"x")
    run = shoal(*words, ABSENT, code=3)
    assert run.errors.startswith("shoal: ")
    assert run.errors.count("\n") == 1
    assert ABSENT in run.errors
    assert run.out == ""


@pytest.mark.parametrize("words", EVERY_READER, ids=" ".join)
@pytest.mark.parametrize("text", ["nope", "", "bafkrei", f"{ABSENT}\x1b[31m", "/ipfs/", "Qm" + "0" * 44])
def test_a_malformed_cid_ends_with_2_and_is_not_obeyed_by_the_terminal(shoal, words, text) -> None:
    shoal("add", stdin=b"x")
    run = shoal(*words, text, code=2)
    assert run.errors.startswith("shoal: ")
    assert "\x1b" not in run.errors
    assert run.out == ""


def test_a_name_that_is_not_there_ends_with_3(shoal, photos) -> None:
    root = shoal("add", "-Q", "photos").word
    for verb in ("cat", "get", "ls"):
        assert "mountain.txt" in shoal(verb, f"{root}/mountain.txt", code=3).errors


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ad"], "did you mean add?"),
        (["pin", "lss"], "did you mean ls?"),
        (["add", "--hidde", "x"], "--hidden"),
        (["cat"], "Missing argument"),
        (["get", ABSENT, "extra"], "extra"),
        (["cat", "--offset", "-1", ABSENT], "--offset"),
        (["refs", "-e", "--format", "x", ABSENT], "--edges"),
        (["completion", "tcsh"], "tcsh"),
        (["bench", "--size", "big"], "--size"),
        (["demo", "--size", "1"], "--size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_words_that_are_not_understood_end_with_2_and_a_hint(shoal, words, says) -> None:
    run = shoal(*words, code=2)
    assert says in run.errors
    assert "--help'" in run.errors
    assert run.errors.count("\n") == 1


def test_no_words_at_all_print_the_help_and_end_with_2(shoal) -> None:
    run = shoal(code=2)
    assert run.errors.startswith("Usage: shoal")
    assert run.out == ""


def test_an_unreadable_file_and_a_missing_one_end_with_1(shoal, photos) -> None:
    shoal("add", "no-such", code=1)
    shoal("block", "put", "no-such", code=1)
    shoal("dag", "import", "no-such.car", code=1)
    shoal("add", "--ignore-rules-path", "no-such", "photos", code=2)
    if os.geteuid() != 0:  # root reads everything
        (photos / "sea.txt").chmod(0)
        assert "sea.txt" in shoal("add", "photos", code=1).errors


def test_a_directory_cycle_by_symlink_ends_with_1(shoal, photos) -> None:
    (photos / "2024" / "up").symlink_to("..")
    shoal("add", "photos")
    assert "up" in shoal("add", "--dereference-symlinks", "photos", code=1).errors


def test_a_store_that_another_process_writes_ends_with_4(shoal) -> None:
    hold = (
        "import shoal, sys, time\n"
        "store = shoal.Store(sys.argv[1])\n"
        "def pieces():\n"
        "    yield b'x'\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
        "store.add(pieces())\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(shoal.store)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        run = shoal("add", stdin=b"y", code=4, SHOAL_STORE_LOCK_WAIT_SECONDS="0.2")
        assert run.errors.startswith("shoal: ")
        shoal("repo", "stat", SHOAL_STORE_LOCK_WAIT_SECONDS="0.2")
    finally:
        holder.kill()
        holder.communicate()


def test_a_fault_shows_its_place_only_with_debug(shoal) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "shoal", "cat", "--debug", ABSENT],
        cwd=shoal.folder,
        env=shoal.environment,
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 3
    assert b"Traceback" in run.stderr


def test_python_m_shoal_is_the_same_program(shoal) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "shoal", "--version"], env=shoal.environment, capture_output=True, timeout=60
    )
    assert run.stdout == shoal("--version").raw
    assert shoal("--version", "--json").json["version"] in shoal("--version").out


def test_ctrl_c_stops_the_hashing_of_a_large_file(shoal) -> None:
    with (shoal.folder / "huge").open("wb") as opened:
        opened.truncate(1 << 42)  # sparse: it takes no room
    with shoal.start("add", "-n", "--progress", "huge", stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr.readline(), "it ended before it began"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.decode().splitlines()[-1] == "shoal: interrupted"
        assert time.monotonic() - begun < 5


def test_ctrl_c_stops_waiting_for_stdin_and_keeps_nothing(shoal) -> None:
    words = ("add", "--progress")
    process = shoal.start(*words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"half a thought" * 100_000)
    process.stdin.flush()
    assert process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert process.returncode == 130
    assert process.stderr.read().endswith(b"shoal: interrupted\n")
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert shoal("refs", "local").out == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_demo_cleans_up_when_it_is_stopped(shoal, number, code) -> None:
    with shoal.start("demo", stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        scratch = Path(process.stdout.readline().decode().removeprefix("Working in ").partition(" (")[0])
        assert scratch.is_dir()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code
        assert not scratch.exists()


@pytest.mark.parametrize(
    "command", ["cat BIG", "refs local", "ls --stream MANY", "add many", "dag export MANY", "cat --json BIG"]
)
def test_a_reader_that_goes_away_is_not_an_error_to_talk_about(shoal, command) -> None:
    (shoal.folder / "big").write_bytes(bytes(range(256)) * 32768)
    (shoal.folder / "many").mkdir()
    for number in range(3000):
        (shoal.folder / "many" / f"file-{number}").write_text(str(number))
    big, many = shoal("add", "-Q", "big").word, shoal("add", "-Q", "many").word
    words = command.replace("BIG", big).replace("MANY", many)
    run = shoal.script(f"shoal {words} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
    assert run.errors == ""
    assert run.out == "141\n"


def test_a_closed_stdout_is_not_a_traceback(shoal, photos) -> None:
    assert "Traceback" not in shoal.script("shoal add photos >&-").errors
    assert "Traceback" not in shoal.script("shoal add no-such 2>&-").errors


def test_a_full_disk_under_stdout_is_an_error(shoal) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    cid = shoal("add", "-Q", stdin=b"x" * 100_000).word
    for words in (f"cat {cid}", f"block get {cid}", "config show"):
        run = shoal.script(f"shoal {words} > /dev/full")
        assert run.code == 1, words
        assert run.errors.startswith("shoal: "), words


def on_terminal(shoal, *words: str, seconds: float = 60, **environment: str) -> tuple[int, str]:
    """Runs `shoal` with a terminal for stdout and stderr; gives its exit code and all that the terminal got."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    shoal.environment |= {"TERM": "xterm-256color"} | environment
    process = shoal.start(*words, stdout=follower, stderr=follower, stdin=follower)
    os.close(follower)
    seen, end = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    piece = os.read(leader, 65536)
                except OSError:  # Linux: the other end is closed
                    break
                seen += piece
                if not piece:
                    break
            elif process.poll() is not None:
                break
        return process.wait(timeout=10), seen.decode()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(leader)


def test_a_terminal_gets_a_bar_and_the_lines_above_it(shoal) -> None:
    with (shoal.folder / "large").open("wb") as opened:
        opened.truncate(3 << 30)
    code, seen = on_terminal(shoal, "add", "-n", "large")
    assert code == 0
    assert re.search(r"\d+\.\d/\d+\.\d .?B", seen), "no figures of a bar"
    assert re.search(r"added bafyb4i\w+ large\r\n", seen)


def test_a_terminal_gets_nothing_to_obey_from_a_name(shoal, photos) -> None:
    (photos / "red\x1b[31m\x07").write_text("x")
    code, seen = on_terminal(shoal, "add", "photos", NO_COLOR="1")
    assert code == 0
    assert "red\\x1b[31m\\a" in seen
    assert "\x07" not in seen
    assert "\x1b[31m" not in seen


def test_colours_are_for_terminals_and_can_be_forbidden(shoal, photos) -> None:
    root = shoal("add", "-Q", "photos").word
    assert "\x1b" not in shoal("ls", root).out
    assert "\x1b[1;34m2024" in on_terminal(shoal, "ls", root)[1]
    assert "\x1b" not in on_terminal(shoal, "ls", root, NO_COLOR="1")[1]


def test_a_car_is_not_for_a_terminal(shoal, photos) -> None:
    root = shoal("add", "-Q", "photos").word
    code, seen = on_terminal(shoal, "dag", "export", root)
    assert code == 2
    assert "redirect stdout" in seen


def test_add_without_words_on_a_terminal_asks_for_some(shoal) -> None:
    code, seen = on_terminal(shoal, "add")
    assert code == 2
    assert "nothing to add" in seen


def test_progress_goes_to_stderr_and_only_when_asked_for_without_a_terminal(shoal) -> None:
    (shoal.folder / "file").write_bytes(bytes(8 << 20))
    assert shoal("add", "-n", "file").errors == ""
    run = shoal("add", "-nQ", "--progress", "file")
    assert "8.39 MB" in run.errors
    assert run.word.startswith("bafyb4i")
    assert "MB" in shoal("add", "-nQ", "file", SHOAL_OUTPUT_PROGRESS="always").errors
