"""How a run ends: one line that says what, where and what to do, and the exit code that is true.

The one rule: nobody sees a traceback who has not asked for one.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import click

from shoal.cli import INTERRUPTED
from shoal.cli.output import printable_line
from shoal.errors import ShoalError

if TYPE_CHECKING:
    from shoal.cli.session import Session

OK, FAILED, USAGE, NOT_FOUND, TIMED_OUT, DAMAGED = range(6)


def report(error: BaseException, session: Session) -> int:
    """Says on stderr what went wrong and returns the exit code for it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _end_by_broken_pipe()
    _flush_or_discard()
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


def _flush_or_discard() -> None:
    """Sends what was printed before an error. Where that is what fails, forgets it: exiting would try again."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _discard_stdout() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _end_by_broken_pipe() -> int:
    """The reader of our output has gone: end as `cat` does, by the signal, without a word."""
    _discard_stdout()
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
