"""Help that teaches: every command has examples, and every example runs. Completion, and how fast a version is told."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

import click
import pytest

from shoal.cli.app import program

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
            "source ./completion; COMP_WORDS=(shoal ver); COMP_CWORD=1; _shoal_completion; echo ${COMPREPLY[@]};"
            "COMP_WORDS=(shoal add --chu); COMP_CWORD=2; _shoal_completion; echo ${COMPREPLY[@]}"
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
    """Within 150 ms on an idle machine; the median of several runs, and room for a busy one."""
    shoal("--version")
    times = []
    for _ in range(9):
        begun = time.perf_counter()
        assert shoal.start("--version", stdout=subprocess.DEVNULL).wait() == 0
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.150, f"best {min(times):.3f} s, median {statistics.median(times):.3f} s"


def test_the_version_needs_neither_click_nor_rich(shoal) -> None:
    run = shoal.script("PYTHONVERBOSE= PYTHONPROFILEIMPORTTIME=1 shoal --version")
    modules = {line.rpartition("|")[2].strip() for line in run.errors.splitlines()}
    assert "shoal" in modules
    assert not modules & {"click", "rich", "anyio", "msgspec", "tomllib", "json"}


def test_a_plain_command_imports_neither_rich_nor_anyio(shoal, photos) -> None:
    run = shoal.script("PYTHONPROFILEIMPORTTIME=1 shoal add notes.txt")
    modules = {line.rpartition("|")[2].strip() for line in run.errors.splitlines()}
    assert "shoal.cli.add" in modules
    assert not modules & {"rich", "anyio", "asyncio", "shoal.cli.demo", "shoal.cli.bench"}
