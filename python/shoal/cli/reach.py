"""Reaching a node: the one that runs over the store, or, where a command can do with one of its own, that.

Both answer the same requests (`shoal.control.verbs`), so a command says what it wants once.
The one rule: a running node is always asked first. Two nodes of one store would fetch everything twice.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click

from shoal.config import parse_bytes
from shoal.control.client import ask as ask_running
from shoal.errors import InvalidInput, NodeNotRunning

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal import Node
    from shoal.cli.session import Session
    from shoal.discovery.base import Discovery

    Hear = Callable[[dict[str, Any]], None]


def ask(session: Session, verb: str, arguments: dict[str, Any], hear: Hear = lambda _: None) -> Any:
    """The result of a request to the running node. Raises `NodeNotRunning` where there is none."""
    return ask_running(session.settings.folder, verb, arguments, hear)


def ask_any(
    session: Session, verb: str, arguments: dict[str, Any], hear: Hear = lambda _: None, **keywords: Any
) -> Any:
    """The same of a node that is started for it, with these keywords, where none runs."""
    try:
        return ask(session, verb, arguments, hear)
    except NodeNotRunning:
        return run_alone(session, verb, arguments, hear, **keywords)


def run_alone(session: Session, verb: str, arguments: dict[str, Any], hear: Hear, **keywords: Any) -> Any:
    """The result of a request to a node of this process, which nobody else can reach: its key is made for the run.

    With the store's own key, peers would take it for another connection of the same node, and answer there.
    """
    from shoal.control.verbs import VERBS
    from shoal.identity import passing_identity

    async def work(node: Node) -> Any:
        return await VERBS[verb](node, arguments, hear)

    return run_node(session, work, identity=passing_identity(), **keywords)


def run_node(session: Session, work: Callable[[Node], Any], **keywords: Any) -> Any:
    """The result of `work` with a node over the session's store."""
    import anyio

    from shoal import Node

    store = session.store(read_only=False, create=True)

    async def main() -> Any:
        async with Node(store, **keywords) as node:
            return await work(node)

    return anyio.run(main, backend_options={"use_uvloop": False})


def run_until_stopped(session: Session, work: Callable[[Node], Any], **keywords: Any) -> None:
    """Runs `work` with a node that other commands reach, until Ctrl-C, SIGTERM or its end. Raises `NodeRunning`."""
    import anyio

    from shoal.control.server import serving

    async def until_signal(node: Node) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            failed: BaseException | None = None
            async with anyio.create_task_group() as tasks:

                async def run() -> None:
                    nonlocal failed
                    try:
                        async with serving(node):
                            await work(node)
                    except Exception as error:  # noqa: BLE001 - it is raised outside of the group, which would wrap it
                        failed = error
                    tasks.cancel_scope.cancel()

                tasks.start_soon(run)
                async for _ in signals:
                    break
                tasks.cancel_scope.cancel()
            if failed is not None:
                raise _single(failed)

    run_node(session, until_signal, **keywords)


def _single(error: BaseException) -> BaseException:
    """The error that a group of one holds."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


def mdns_option(function: Any) -> Any:
    """`--mdns/--no-mdns`."""
    return click.option(
        "--mdns/--no-mdns",
        default=None,
        help="Find, and be found by, nodes on the local network (default: as 'node.mdns' says, yes).",
    )(function)


def finders(session: Session, mdns: bool | None) -> list[Discovery]:
    """The ways of finding peers that were asked for."""
    if not (session.settings["node.mdns"] if mdns is None else mdns):
        return []
    from shoal.discovery.mdns import Mdns

    return [Mdns()]


def rate(text: str | None) -> int | None:
    """`--bwlimit`: bytes a second, as `2MB` or `500KiB`."""
    if text is None:
        return None
    try:
        bytes_per_second = parse_bytes(text.removesuffix("/s"))
    except ValueError as error:
        raise InvalidInput(f"--bwlimit is bytes a second: {error}") from None
    if bytes_per_second < _RATE_MIN:
        raise InvalidInput(f"--bwlimit is at least {_RATE_MIN} bytes a second: less, and peers take this one for dead")
    return bytes_per_second


_RATE_MIN = 1024
