"""What every command shares: the common options, examples in its help, and Kubo's way of writing booleans.

The one rule: a command is declared with examples that run as they stand.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.session import Session
from shoal.config import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def common_options() -> list[click.Parameter]:
    """Options of every command. They also stand before the command: `shoal --store X add`."""

    def remember_store(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.ensure_object(Session).flags["store.path"] = (value, "--store")

    def remember_json(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Session).json |= value

    def remember_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Session).debug |= value

    return [
        click.Option(
            ["--store"],
            metavar="FOLDER",
            type=click.Path(),
            expose_value=False,
            is_eager=True,
            callback=remember_store,
            help="The store to use (default: $SHOAL_PATH, else ~/.shoal).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=remember_json,
            help="Print JSON: one object, or one per line.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=remember_debug,
            help="Show a traceback when something fails.",
        ),
    ]


_COMMON_NAMES = ("--store", "--json", "--debug", "--help")


class _Command(click.Command):
    """A command with the common options, examples in its help, and Kubo's way of writing booleans (`--pin=false`)."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.params += common_options()
        self.examples = tuple(examples)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, list(_plain_booleans(self, args)))

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(context):
            if not isinstance(parameter, click.Option):
                continue
            record = parameter.get_help_record(context)
            if record is not None:
                (common if set(parameter.opts) & set(_COMMON_NAMES) else own).append(record)
        for title, records in (("Options", own), ("Common options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{' ' * formatter.current_indent}{example}\n")


def _plain_booleans(owner: click.Command, words: Iterable[str]) -> Iterable[str]:
    """`words` with `--flag=true` and `--flag=false` of on-off options as click writes them."""
    flags = {
        name: option
        for option in owner.params
        if isinstance(option, click.Option) and option.is_flag
        for name in option.opts
    }
    literal = False
    for word in words:
        literal = literal or word == "--"
        name, _, value = word.partition("=")
        option = flags.get(name)
        if literal or option is None or value.lower() not in ("true", "false"):
            yield word
        elif value.lower() == "true":
            yield name
        elif option.secondary_opts:
            yield option.secondary_opts[0]
        # `--flag=false` of a flag that is off unless given says nothing.


class Family(click.Group):
    """A command with commands below it: `shoal pin add`."""

    command_class = _Command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(context), n=1)
            advice = f": did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{advice}", error.ctx) from None


def command(name: str, *, examples: Sequence[str], **keywords: Any) -> Callable[[Callable[..., Any]], _Command]:
    """Declares a top-level command, with two or three examples that run as they stand (tests run them)."""
    return click.command(name, cls=_Command, examples=examples, **keywords)


def progress_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-p/--progress/--no-progress` of commands that can take long."""
    return click.option(
        "-p", "--progress/--no-progress", default=None, help="Show progress on stderr (default: when it is a terminal)."
    )


def byte_count(_: click.Context, parameter: click.Parameter, value: str) -> int:
    """Callback of options that are a number of bytes, as `1048576`, `64MiB` or `1GB`."""
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(f"it is {error}", param=parameter) from None
