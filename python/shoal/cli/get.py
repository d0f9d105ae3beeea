"""`shoal get`: content out of the store into files and directories, every byte checked on the way.

Not here: what keeps an export inside its target; the store does that.
The one rule: nothing that exists is replaced without `--force`.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from shoal.cli.command import command, progress_option
from shoal.cli.output import printable
from shoal.cli.progress import shown
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import standard_output


@command(
    "get",
    examples=[
        'shoal get "$(shoal add -Q photos)" -o copy            # a directory, under a name of your choice',
        'shoal get "$(shoal add -Q photos)/sea.txt"            # one file out of it, as ./sea.txt',
        'shoal get "$(shoal add -Q photos)" -o copy --force    # over what is there',
    ],
)
@click.argument("content", metavar="CID[/PATH]")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    metavar="PATH",
    help="Where to write: a new name, a directory to put a file into, or - for stdout.",
)
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
@progress_option()
@pass_session
def get(session: Session, content: str, target: str | None, force: bool, progress: bool | None) -> None:
    """Write the file or directory CID to disk.

    Without -o it is named after the last part of the path, or else after the CID.
    """
    store = session.store()
    with shown("reading", session.output, session.progress(progress)) as on_progress:
        if target == "-":
            store.cat(content, standard_output(), progress=on_progress)
            return
        place = _place(session, content, target)
        exported = store.get(content, place, force=force, progress=on_progress)
    session.output.result(exported, f"Saving file(s) to {printable(os.fsdecode(place))}")


def _place(session: Session, content: str, target: str | None) -> str:
    """Where the content goes: like `cp`, a file that is told to go to a directory goes into it."""
    name = content.rstrip("/").rpartition("/")[2]
    if target is None:
        return name
    if Path(target).is_dir() and session.store().stat_path(content).kind != "directory":
        return os.path.join(target, name)
    return target
