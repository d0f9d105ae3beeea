"""Help that teaches: every command has examples, and every example runs. Completion, and how fast a version is told."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from sharing import LOOPBACK, another, running

from shoal.cli.app import program
from shoal.config import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(
    group: click.Group = program, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that lead to it, by its own account."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


ALL = list(commands())
EXAMPLES = [
    pytest.param(example, id=f"{' '.join(words)}-{number}")
    for words, command in ALL
    for number, example in enumerate(command.examples)
]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(words, command, id=" ".join(words)) for words, command in ALL]
)
def test_every_command_explains_itself(shoal, words, command) -> None:
    out = shoal(*words, "--help").out
    assert out.startswith(f"Usage: shoal {' '.join(words)} ")
    assert len(command.examples) >= 2
    assert all(example in out for example in command.examples)
    assert "--json" in out
    assert "--store" in out
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} has no help"


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(shoal, photos, example) -> None:
    shutil.copytree(photos, shoal.folder / "copy") if "--force" in example and "get" in example else None
    shoal("add", stdin=b"something")
    if example.startswith(("shoal share", "shoal node")):
        # The same, on this machine alone.
        words = example.partition(" #")[0].replace("/ip4/0.0.0.0/tcp/4001", LOOPBACK)
        words = words if "--listen" in words else f"{words} --listen {LOOPBACK}"
        example = f"timeout --preserve-status --signal INT 2 {words}"
    if example.startswith("shoal serve"):
        # It runs until it is told to end, at a port that may be taken on this machine.
        words = example.partition(" #")[0].replace("127.0.0.1:0", "")
        words = words.replace("--listen  ", "").replace("serve", "serve --listen 127.0.0.1:0", 1)
        words = words.replace("--rpc ", "--rpc --rpc-listen 127.0.0.1:0 ")
        example = f"timeout --preserve-status --signal INT 2 {words}"
    with contextlib.ExitStack() as stack:
        if example.startswith(("shoal swarm", "shoal ping")):
            # They need a node that runs, and a peer.
            peer = stack.enter_context(running(another(shoal, "peer"), "node")).ready["addrs"][0]
            stack.enter_context(running(shoal, "node", "--peer", peer)).event_of("connected")
            shoal.environment["PEER"] = peer
        run = shoal.script(f"set -eo pipefail; {example}")
    assert run.code == 0, run.errors
    assert run.errors == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shoal, shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = shoal.folder / "completion"
    script.write_text(shoal("completion", shell).out)
    if shell == "bash":
        text = (
            "source ./completion; COMP_WORDS=(shoal ver); COMP_CWORD=1; _shoal_completion shoal; echo ${COMPREPLY[@]};"
            "COMPREPLY=(); COMP_WORDS=(shoal add --chu); COMP_CWORD=2; _shoal_completion shoal; echo ${COMPREPLY[@]}"
        )
    elif shell == "zsh":
        text = (
            "autoload -U compinit && compinit -u -D; source ./completion;"
            "print $_comps[shoal]; whence -w _shoal_completion"
        )
    else:
        text = 'source ./completion; complete -C "shoal ver"; complete -C "shoal add --chu"'
    run = shoal.script(text, shell=shell)
    assert run.code == 0
    assert run.errors == ""
    if shell == "zsh":
        assert run.lines == ["_shoal_completion", "_shoal_completion: function"]
    else:
        assert [line.split()[0] for line in run.lines] == ["verify", "--chunker"]


def test_the_version_is_told_at_once(shoal) -> None:
    """Within 150 ms on an idle machine. Counted in processor time, so that a busy machine tells the same."""
    shoal("--version")
    seconds = []
    for _ in range(5):
        process = shoal.start("--version", stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        seconds.append(used.ru_utime + used.ru_stime)
    assert min(seconds) < 0.150, f"{min(seconds):.3f} s"


def modules_after(shoal, *words: str) -> set[str]:
    """The modules that one run of the program has imported."""
    text = (
        f"import sys; from shoal.cli import main; main({list(words)!r}); print(*sorted(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", text], cwd=shoal.folder, env=shoal.environment, capture_output=True, check=True
    )
    return set(run.stderr.decode().split())


def test_the_version_needs_neither_click_nor_rich(shoal) -> None:
    modules = modules_after(shoal, "--version")
    assert "shoal._core" in modules
    assert not modules & {"click", "rich", "anyio", "asyncio", "msgspec", "tomllib", "shoal.cli.app"}


def test_a_plain_command_imports_neither_rich_nor_anyio(shoal, photos) -> None:
    modules = modules_after(shoal, "add", "notes.txt")
    assert "shoal.cli.add" in modules
    assert not modules & {"rich", "anyio", "asyncio", "shoal.cli.demo", "shoal.cli.bench"}


REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_page_has_the_help_of_every_command(shoal) -> None:
    """The page is written by hand down to its mark; SHOAL_UPDATE_HELP=1 writes the rest of it anew."""
    mark = "<!-- Below: the help of every command, as `shoal COMMAND --help` prints it. -->\n"
    head, found, _ = REFERENCE.read_text().partition(mark)
    assert found
    sections = [f"\n### shoal {' '.join(words)}\n\n```text\n{shoal(*words, '--help').out}```\n" for words, _ in ALL]
    if os.environ.get("SHOAL_UPDATE_HELP"):
        REFERENCE.write_text(head + mark + "".join(sections))
    assert REFERENCE.read_text() == head + mark + "".join(sections)


def test_the_reference_page_names_every_setting_and_variable() -> None:
    text = REFERENCE.read_text()
    for key in KEYS.values():
        assert f"`{key.name}`" in text
        assert all(f"`{variable}`" in text for variable in key.environment)
