"""The program `shoal`: its commands by name, its help page, and the run of one command.

Commands are imported when they are asked for, so that one does not pay for the others.
The one rule: whatever a command does, its run ends in `ending.py`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, cast

import click

from shoal.cli.command import Family, common_options
from shoal.cli.ending import OK, report
from shoal.cli.session import Session
from shoal.cli.stream import settle_streams

# Every command, by section of the help page: its module in shoal.cli, which holds a command of that name.
SECTIONS: dict[str, dict[str, str]] = {
    "Files": {"add": "add", "get": "get", "cat": "cat", "ls": "ls", "refs": "refs"},
    "Network": {
        "share": "share",
        "node": "node",
        "swarm": "swarm",
        "id": "identity",
        "ping": "ping",
        "serve": "serve",
    },
    "Data structures": {"block": "block", "blob": "blob", "dag": "dag", "cid": "cid"},
    "Store": {"pin": "pin", "gc": "repo", "verify": "repo", "repo": "repo", "config": "config"},
    "This machine": {"doctor": "doctor", "demo": "demo", "bench": "bench", "completion": "completion"},
}
# A word of Python's own.
_NAMED_OTHERWISE = {"id": "show_id"}
COMPLETE_VARIABLE = "_SHOAL_COMPLETE"


class _Program(Family):
    """`shoal` itself: its commands are looked up by name and imported when used."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.params += common_options()

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        for section in SECTIONS.values():
            if name in section:
                module = importlib.import_module(f"shoal.cli.{section[name]}")
                return cast("click.Command", getattr(module, _NAMED_OTHERWISE.get(name, name)))
        return None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            found = ((name, self.get_command(context, name)) for name in names)
            records = [(name, known.get_short_help_str(limit=70)) for name, known in found if known is not None]
            with formatter.section(title):
                formatter.write_dl(records)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from shoal import __version__

        context.ensure_object(Session).output.result({"version": __version__}, f"shoal {__version__}")
        context.exit()


program = _Program(
    name="shoal",
    help="""Files in, hashes out, and back again: content-addressed storage with the CIDs of IPFS.

    There is nothing to set up. `shoal add FILE` prints the hash of a file and keeps it;
    `shoal cat HASH` gives it back, checked to the last bit.
    """,
    epilog="Run 'shoal COMMAND --help' for examples. Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 time-out, "
    "5 verification failed, 130 Ctrl-C.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"], is_flag=True, expose_value=False, callback=_print_version, help="Show the version and exit."
        )
    ],
)


def run(words: list[str]) -> int:
    """Runs the command that `words` name; prints what went wrong; returns the exit code."""
    settle_streams()
    if COMPLETE_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, "shoal", COMPLETE_VARIABLE, os.environ[COMPLETE_VARIABLE])
    session = Session()
    try:
        try:
            code = _invoke(words, session)
            sys.stdout.flush()
        finally:
            session.close()
    except BaseException as error:  # noqa: BLE001 - a fault of ours is reported too, and so is Ctrl-C
        return report(error, session)
    return code


def _invoke(words: list[str], session: Session) -> int:
    try:
        with program.make_context("shoal", words, obj=session) as context:
            result = program.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else OK
