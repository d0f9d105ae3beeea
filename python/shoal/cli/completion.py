"""`shoal completion`: the script that lets a shell complete commands and options.

The one rule: the script asks `shoal` itself, so it is never out of date.
"""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from shoal.cli.app import COMPLETE_VARIABLE, program
from shoal.cli.command import command
from shoal.cli.session import Session, pass_session

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@command(
    "completion",
    examples=[
        "shoal completion bash > shoal-completion.bash     # then: source it from ~/.bashrc",
        "shoal completion zsh > _shoal                     # then: put it into a folder of $fpath",
        "shoal completion fish > shoal.fish                # then: move it to ~/.config/fish/completions/",
    ],
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print the completion script for a shell."""
    script = _SHELLS[shell](program, {}, "shoal", COMPLETE_VARIABLE)
    # `source_template` rather than `source()`: that one runs a shell to learn its version, and there may be none here.
    text = (script.source_template % script.source_vars()).strip()
    session.output.result({"shell": shell, "script": text}, text)
