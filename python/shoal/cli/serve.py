"""`shoal serve`: files, folders and CIDs over HTTP, for browsers, curl and every program that fetches by hash.

The one rule: what is printed can be opened at once; the socket listens before a word is said.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal.cli.command import command
from shoal.cli.session import Session, pass_session
from shoal.errors import InvalidCID, InvalidInput, ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from shoal import CID, Store
    from shoal.http import Rules


@command(
    "serve",
    examples=[
        "shoal serve ./photos                                # prints the URL to open; Ctrl-C ends it",
        "shoal serve --listen 127.0.0.1:0 --json ./photos    # for programs: a free port, and one line of JSON when ready",
        "shoal serve                                         # what the store has already, by CID",
    ],
)
@click.argument("contents", nargs=-1, metavar="[PATH|CID]...")
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    metavar="HOST:PORT",
    show_default=True,
    help="Where to listen; port 0 takes a free one. An address beyond this machine lets others in.",
)
@click.option("--pin/--no-pin", default=None, help="Keep what is added safe from gc (default: yes).")
@click.option("--profile", metavar="NAME", help="Named rules for what is added, as for 'shoal add'.")
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    metavar="NAME",
    help="A host name this gateway goes by, each root with an origin of its own below it (CID.ipfs.NAME); * for any, by path. Repeatable.",
)
@click.option(
    "--dnslink",
    "links",
    multiple=True,
    metavar="DOMAIN=/ipfs/CID",
    help="Serve this path for requests to that domain. Repeatable.",
)
@click.option("--trustless", is_flag=True, help="Give only raw blocks and CARs, which clients check themselves.")
@click.option("--behind-proxy", is_flag=True, help="Believe X-Forwarded-Host and X-Forwarded-Proto.")
@pass_session
def serve(
    session: Session,
    contents: tuple[str, ...],
    listen: str,
    pin: bool | None,
    profile: str | None,
    hostnames: tuple[str, ...],
    links: tuple[str, ...],
    trustless: bool,
    behind_proxy: bool,
) -> int:
    """Serve files, folders and CIDs by hash over HTTP, read-only.

    A PATH is added to the store first. Whatever the store has can be fetched by whoever knows its CID and reaches the address,
    which by default is only this machine.
    """
    try:
        from shoal.http.serve import Address, listen as open_listener
    except ImportError as error:  # pragma: no cover - the extra is installed wherever tests run
        raise _without_extra(error) from None
    address = Address.parse(listen)
    store = session.store(read_only=not _has_paths(contents), create=True)
    front = dict(_root(session, store, content, pin, profile) for content in contents)
    rules = _rules(front, hostnames, links, trustless, behind_proxy)
    listener = open_listener(address)
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    urls = {name: f"{url}/ipfs/{cid}{'?format=raw' if trustless else ''}" for name, cid in front.items()}
    record = {
        "url": url,
        "listen": f"{host}:{listener.getsockname()[1]}",
        "roots": {name: str(cid) for name, cid in front.items()},
    }
    if not address.is_loopback:
        click.echo(f"shoal: {host} may be reached by other machines: whoever knows a CID can fetch it", err=True)

    def say() -> None:
        session.output.result(
            record | {"urls": urls}, f"serving at {url}/", *(f"{found}  {name}" for name, found in urls.items())
        )
        sys.stdout.flush()

    _run(store, rules, listener, url, say)
    return 0


def _without_extra(error: ImportError) -> ShoalError:
    return InvalidInput(f"serving needs {error.name}, which is not installed: pip install 'shoal[http]'")


def _has_paths(contents: tuple[str, ...]) -> bool:
    return any(_cid(content) is None for content in contents)


def _cid(content: str) -> CID | None:
    """A CID, unless there is a file of that name."""
    from shoal import CID

    if Path(content).exists():
        return None
    try:
        return CID(content.removeprefix("ipfs://").removeprefix("/ipfs/"))
    except InvalidCID:
        return None


def _root(session: Session, store: Store, content: str, pin: bool | None, profile: str | None) -> tuple[str, CID]:
    cid = _cid(content)
    if cid is not None:
        store.size(cid)
        return str(cid), cid
    pinned = bool(session.settings["add.pin"] if pin is None else pin)
    added = store.add(content, profile=profile or session.settings.text("add.profile"), pin=pinned)
    return added.name or content, added.cid


def _rules(
    front: dict[str, CID], hostnames: tuple[str, ...], links: tuple[str, ...], trustless: bool, behind_proxy: bool
) -> Rules:
    from shoal import Path as ContentPath
    from shoal.http import HostRule, Rules, StaticLinks

    table: dict[str, str] = {}
    for link in links:
        domain, equals, path = link.partition("=")
        if not equals or not path.startswith("/ip"):
            raise click.UsageError("--dnslink is DOMAIN=/ipfs/CID")
        if path.startswith("/ipfs/"):
            ContentPath.parse(path)
        table[domain] = path
    known = {name.lower(): HostRule() for name in ("localhost", *hostnames) if name != "*"}
    return Rules(
        hostnames=known,
        any_host="*" in hostnames,
        trust_proxy=behind_proxy,
        trustless_only=trustless,
        dnslink=StaticLinks(table) if table else None,
        front=front,
    )


def _run(store: Store, rules: Rules, listener: socket, url: str, say: Callable[[], None]) -> None:
    import anyio

    from shoal.http import Gateway
    from shoal.http.serve import serve as run_server, told_clients
    from shoal.node import Node

    async def main() -> None:
        stop = anyio.Event()
        async with Node(store) as node, anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

                async def end() -> None:
                    async for _ in signals:
                        stop.set()
                        return

                tasks.start_soon(end)
                say()
                await run_server(Gateway(node, rules), listener, stop)
                tasks.cancel_scope.cancel()

    with listener, told_clients(Path(store.path), url):
        anyio.run(main, backend_options={"use_uvloop": False})
