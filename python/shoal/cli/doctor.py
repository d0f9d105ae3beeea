"""`shoal doctor`: what could keep Shoal from working here, in sentences, each with a way out.

The one rule: it ends with 0 only if nothing is wrong that has to be put right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.cli.command import command
from shoal.cli.output import plain, printable_line
from shoal.cli.session import Session, pass_session
from shoal.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.cli.checks import Finding

_MARKS = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}
_STYLES = {"ok": "32", "warning": "33", "fault": "31;1"}


@command(
    "doctor",
    examples=[
        "shoal doctor           # looks at the store, the disk, the network, and a node that runs",
        "shoal doctor --json    # a line for each finding",
    ],
)
@pass_session
def doctor(session: Session) -> int:
    """Look for what could keep Shoal from working here.

    Looks at the store, the disk and its clock, limits, keys, the node that runs, and whether this machine's own addresses let
    connections in. Changes nothing. Ends with 1 if there is a fault, with 0 if there are warnings or none.
    """
    has_fault = False
    for finding in _findings(session):
        has_fault |= finding.verdict == "fault"
        lines = [
            f"{session.output.styled(_MARKS[finding.verdict], _STYLES[finding.verdict])} {finding.check}: {printable_line(finding.what)}"
        ]
        if finding.advice is not None:
            lines.append(f"        what to do: {printable_line(finding.advice)}")
        session.output.result(plain(finding), *lines)
    return 1 if has_fault else 0


def _findings(session: Session) -> Iterator[Finding]:
    from shoal.cli import checks
    from shoal.cli.reach import ask
    from shoal.transport.interfaces import interfaces

    folder = session.settings.folder
    yield from checks.check_store(folder, is_there=session.has_store)
    yield from checks.check_disk(folder)
    yield from checks.check_clock()
    yield from checks.check_limits()
    yield from checks.check_keys(folder)
    yield from checks.check_socket(folder)
    try:
        listening = ask(session, "id", {})["addrs"]
    except NetworkError:
        listening = []
    yield from checks.check_reach(listening, interfaces())
