"""The program around the commands: finding them, the options they share, and how a run ends.

Commands are imported when they are asked for, so that one does not pay for the others.
The one rule: whatever happens, the user gets one line that says what, where and what to do, and the right exit code;
a traceback only with `--debug`.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import click

from shoal.cli import INTERRUPTED
from shoal.cli.output import Output, printable_line
from shoal.config import Settings, Value, parse_bytes
from shoal.errors import ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from shoal import Store

OK, FAILED, USAGE, NOT_FOUND, TIMED_OUT, DAMAGED = range(6)

# Every command, by section of the help page: its module in shoal.cli, which holds a command of that name.
SECTIONS: dict[str, dict[str, str]] = {
    "Files": {"add": "add", "get": "get", "cat": "cat", "ls": "ls", "refs": "refs"},
    "Data structures": {"block": "block", "dag": "dag", "cid": "cid"},
    "Store": {"pin": "pin", "gc": "repo", "verify": "repo", "repo": "repo", "config": "config"},
    "This machine": {"demo": "demo", "bench": "bench", "completion": "completion"},
}
COMPLETE_VARIABLE = "_SHOAL_COMPLETE"


class Session:
    """What one run of the command line knows: shared options, settings, output, and the store once it is open."""

    def __init__(self) -> None:
        self.flags: dict[str, tuple[Value, str]] = {}
        self.json = False
        self.debug = os.environ.get("SHOAL_DEBUG", "") not in ("", "0")
        self._settings: Settings | None = None
        self._output: Output | None = None
        self._store: Store | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = Settings.load(flags=self.flags)
        return self._settings

    @property
    def output(self) -> Output:
        if self._output is None:
            wanted = self.settings.text("output.color")
            terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
            self._output = Output(json=self.json, color=wanted == "always" or (wanted == "auto" and terminal))
        return self._output

    def progress(self, flag: bool | None) -> bool | None:
        """Whether to show progress: the flag, else the setting; None leaves it to the terminal."""
        if flag is not None:
            return flag
        return {"always": True, "never": False}.get(self.settings.text("output.progress"))

    def store(self, *, read_only: bool = True) -> Store:
        """The store this run works on, opened once; created where there is none, so that a reader finds it empty."""
        from shoal import Store

        if self._store is None:
            settings = self.settings
            missing = not (settings.folder / "SHOAL").exists()
            pack_bytes_max = (
                None if settings.is_default("store.pack_bytes_max") else parse_bytes(settings["store.pack_bytes_max"])
            )
            self._store = Store(
                settings.folder,
                read_only=read_only and not missing,
                pack_bytes_max=pack_bytes_max,
                lock_wait=float(settings["store.lock_wait_seconds"]),
            )
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


pass_session = click.make_pass_decorator(Session, ensure=True)


def _common_options() -> list[click.Parameter]:
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
        self.params += _common_options()
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


class _Program(Family):
    """`shoal` itself: its commands are looked up by name and imported when used."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.params += _common_options()

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        for section in SECTIONS.values():
            if name in section:
                module = importlib.import_module(f"shoal.cli.{section[name]}")
                return cast("click.Command", getattr(module, name))
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


def standard_input() -> BinaryIO:
    """Bytes of stdin, for commands that read it on purpose."""
    return sys.stdin.buffer


def standard_output() -> int:
    """The descriptor of stdout for raw bytes, after everything printed so far has gone out."""
    sys.stdout.flush()
    return sys.stdout.fileno()


def is_piped(stream: IO[Any]) -> bool:
    """Whether somebody redirected this stream, so that bytes may be read from or written to it."""
    return not stream.closed and not stream.isatty()


def run(words: list[str]) -> int:
    """Runs the command that `words` name; prints what went wrong; returns the exit code."""
    _settle_streams()
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
        return _report(error, session)
    return code


def _invoke(words: list[str], session: Session) -> int:
    try:
        with program.make_context("shoal", words, obj=session) as context:
            result = program.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else OK


def _settle_streams() -> None:
    """Names travel as UTF-8 whatever the locale says; what UTF-8 cannot carry is escaped rather than fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _report(error: BaseException, session: Session) -> int:
    """Says on stderr what went wrong and returns the exit code for it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _end_by_broken_pipe()
    with _unbroken_stderr():
        if session.debug:
            traceback.print_exception(error)
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            sys.stderr.write(error.format_message() + "\n")
        else:
            sys.stderr.write(f"shoal: {printable_line(_message(error))}\n")
    return _exit_code(error)


def _message(error: BaseException) -> str:
    match error:
        case KeyboardInterrupt() | click.Abort():
            return "interrupted"
        case click.UsageError():
            place = error.ctx.command_path if error.ctx is not None else "shoal"
            return f"{error.format_message().rstrip('.')}: run '{place} --help'"
        case click.ClickException():
            return error.format_message()
        case ShoalError():
            return str(error)
        case OSError() if error.strerror:
            return (
                f"{error.strerror}: {os.fsdecode(error.filename)}"
                if isinstance(error.filename, str | bytes)
                else error.strerror
            )
        case _:
            what = f"internal error: {type(error).__name__}: {error}"
            return f"{what}: this is a fault of shoal, please report it; --debug shows where"


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    code = getattr(error, "exit_code", FAILED)
    if isinstance(error, TimeoutError) and code == FAILED:
        return TIMED_OUT
    return code if isinstance(code, int) else FAILED


def _end_by_broken_pipe() -> int:
    """The reader of our output has gone: end as `cat` does, by the signal, without a word."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that the flush at exit has somewhere to go
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    return FAILED


class _unbroken_stderr:  # noqa: N801 - used as a block
    """A closed stderr must not turn a reported error into another one."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        return isinstance(error, OSError)
