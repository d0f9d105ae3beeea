"""`shoal repo references`: files that were added with --nocopy, and stay where they are.

The one rule: nothing here touches those files.
"""

from __future__ import annotations

import click

from shoal.cli.command import Family, progress_option
from shoal.cli.ending import DAMAGED, OK
from shoal.cli.output import human_bytes, plain, printable
from shoal.cli.progress import shown
from shoal.cli.session import Session, pass_session


@click.group("references", cls=Family)
def references() -> None:
    """Look at files that were added with --nocopy."""


@references.command("ls", examples=["shoal repo references ls", "shoal repo references ls --json"])
@pass_session
def ls(session: Session) -> None:
    """List the files that blocks are read from: blocks, their bytes, path.

    The files are not looked at: check does that.
    """
    for found in session.store().references.ls():
        session.output.result(found, f"{found.blocks} {found.bytes} {printable(found.path)}")


@references.command(
    "check",
    examples=["shoal repo references check          # one look at each file", "shoal repo references check --full"],
)
@click.option("--full", is_flag=True, help="Read and hash the files too: finds what their times do not tell.")
@progress_option()
@pass_session
def check(session: Session, full: bool, progress: bool | None) -> int:
    """Say which files changed, moved or are gone.

    Ends with exit code 5 when there are any. Blocks of theirs that stand nowhere else cannot be read: put the files back as they
    were, add them again, or forget them.
    """
    with shown("checking", session.output, session.progress(progress)) as on_progress:
        report = session.store().references.check(full=full, progress=on_progress)
    lines = []
    for entry in report.changed:
        place = "" if entry.offset is None else f" (at byte {entry.offset})"
        lines.append(f"changed {printable(entry.path)}: {entry.reason}{place}")
    lines.append(f"{report.files} files, {len(report.changed)} changed")
    session.output.result(plain(report), *lines)
    return OK if report.ok else DAMAGED


@references.command(
    "forget",
    examples=[
        "shoal add -Q --nocopy photos && shoal repo references forget photos/sea.txt",
        "shoal repo references forget --changed",
    ],
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option("--changed", is_flag=True, help="Forget the files that are not as they were.")
@pass_session
def forget(session: Session, paths: tuple[str, ...], changed: bool) -> None:
    """Forget where blocks are: in files, or in all files below folders.

    The files stay. Blocks that stand nowhere else are gone from the store: verify says whom that hurts.
    """
    if bool(paths) == changed:
        raise click.UsageError("name files or folders to forget, or say --changed; one of the two")
    # The shell has expanded ~ already; a path that begins with one now is the name of a file.
    wanted = [f"./{path}" if path.startswith("~") else path for path in paths]
    done = session.store(read_only=False).references.forget(wanted, changed=changed)
    session.output.result(
        done,
        *(f"forgot {printable(path)}" for path in done.paths),
        f"forgot {done.blocks} blocks ({human_bytes(done.bytes)}) in {len(done.paths)} files",
    )
