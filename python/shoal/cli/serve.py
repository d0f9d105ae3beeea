"""`shoal serve`: files, folders and CIDs over HTTP, for browsers, curl and every program that fetches by hash.

The one rule: what is printed can be opened at once; the socket listens before a word is said.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.command import command
from shoal.cli.session import Session, pass_session
from shoal.errors import InvalidCID, InvalidInput, ShoalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from shoal import CID, Store
    from shoal.http import Rules
    from shoal.http.rpc import RpcRules
    from shoal.node import Node


@command(
    "serve",
    examples=[
        "shoal serve ./photos                                # prints the URL to open; Ctrl-C ends it",
        "shoal serve --listen 127.0.0.1:0 --json ./photos    # for programs: a free port, and one line of JSON when ready",
        "shoal serve                                         # what the store has already, by CID",
        "shoal serve --rpc                                   # and Kubo's RPC, for programs written for an IPFS daemon",
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
@click.option(
    "--rpc",
    is_flag=True,
    help="Serve Kubo's RPC too (/api/v0), which can write. Every call needs the token in STORE/rpc-token, made at the first start.",
)
@click.option(
    "--rpc-listen",
    default="127.0.0.1:5001",
    metavar="HOST:PORT",
    show_default=True,
    help="Where the RPC listens; port 0 takes a free one.",
)
@click.option(
    "--rpc-remote",
    is_flag=True,
    help="Allow --rpc-listen beyond this machine: whoever has the token can then change this store from there.",
)
@click.option(
    "--rpc-origin",
    "rpc_origins",
    multiple=True,
    metavar="ORIGIN",
    help="A web page's origin that may call the RPC, such as http://localhost:3000; it needs the token too. Repeatable.",
)
@click.option(
    "--rpc-hostname",
    "rpc_hostnames",
    multiple=True,
    metavar="NAME",
    help="Another host name that the RPC goes by. Repeatable.",
)
@click.option(
    "--compat-version",
    default="0.42.0",
    metavar="VERSION",
    show_default=True,
    help="The version of Kubo that the RPC says it is: some old clients refuse others.",
)
@click.option("--metrics", is_flag=True, help="Give /metrics at --listen too; the RPC has it anyway, with the token.")
@click.option("--access-log", is_flag=True, help="Write a line of JSON to stderr for each request.")
@click.option("--trio", is_flag=True, help="Run under trio, with hypercorn (pip install hypercorn), not asyncio.")
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
    rpc: bool,
    rpc_listen: str,
    rpc_remote: bool,
    rpc_origins: tuple[str, ...],
    rpc_hostnames: tuple[str, ...],
    compat_version: str,
    metrics: bool,
    access_log: bool,
    trio: bool,
) -> int:
    """Serve files, folders and CIDs by hash over HTTP, read-only; with --rpc, let programs add and change things too.

    A PATH is added to the store first. Whatever the store has can be fetched by whoever knows its CID and reaches the address,
    which by default is only this machine. /healthz says 200 while the store answers.
    """
    try:
        from shoal.http.serve import Address, listen as open_listener
    except ImportError as error:  # pragma: no cover - the extra is installed wherever tests run
        raise _without_extra(error) from None
    address = Address.parse(listen)
    rpc_address = Address.parse(rpc_listen) if rpc else None
    if rpc_address is not None and not (rpc_address.is_loopback or rpc_remote):
        raise InvalidInput(
            "the RPC can change the store, and listens on this machine only: say --rpc-remote to let others in"
        )
    if trio:
        _need_trio()
    store = session.store(read_only=not (rpc or _has_paths(contents)), create=True)
    front = dict(_root(session, store, content, pin, profile) for content in contents)
    rules = _rules(front, hostnames, links, trustless, behind_proxy)
    listener = open_listener(address)
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    urls = {name: f"{url}/ipfs/{cid}{'?format=raw' if trustless else ''}" for name, cid in front.items()}
    record: dict[str, Any] = {
        "url": url,
        "listen": f"{host}:{listener.getsockname()[1]}",
        "roots": {name: str(cid) for name, cid in front.items()},
    }
    if not address.is_loopback:
        click.echo(f"shoal: {host} may be reached by other machines: whoever knows a CID can fetch it", err=True)
    lines = [f"serving at {url}/", *(f"{found}  {name}" for name, found in urls.items())]
    served = _Served(store, rules, listener, url, metrics, access_log, trio)
    if rpc_address is not None:
        served.rpc_listener = open_listener(rpc_address)
        served.rpc_rules = _rpc_rules(served, rpc_address.host, rpc_origins, rpc_hostnames, compat_version)
        api = served.rpc_rules.api_address
        token_file = str(Path(store.path) / "rpc-token")
        record["rpc"] = {"api": api, "url": _url_of(served.rpc_listener), "token_file": token_file}
        lines.append(f"RPC at {api}, with the token in {token_file}")

    def say() -> None:
        session.output.result(record | {"urls": urls}, *lines)
        sys.stdout.flush()

    served.run(say)
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


def _rpc_rules(
    served: _Served, host: str, origins: tuple[str, ...], hostnames: tuple[str, ...], version: str
) -> RpcRules:
    from shoal.http.rpc import RpcRules, token_of
    from shoal.http.serve import multiaddr_of

    assert served.rpc_listener is not None  # noqa: S101
    named = f"[{host}]" if ":" in host else host
    return RpcRules(
        token=token_of(served.store.path),
        hosts=RpcRules.hosts | {named.lower()} | {name.lower() for name in hostnames},
        origins=frozenset(origins),
        version=version,
        api_address=multiaddr_of(served.rpc_listener),
        gateway_address=multiaddr_of(served.listener),
    )


def _url_of(listener: socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _need_trio() -> None:
    try:
        import hypercorn.trio  # noqa: F401
    except ImportError as error:
        message = f"serving under trio needs {error.name}, which is not installed: pip install hypercorn trio"
        raise InvalidInput(message) from None


@dataclass
class _Served:
    """What is served, and how."""

    store: Store
    rules: Rules
    listener: socket
    url: str
    shows_metrics: bool
    logs: bool
    uses_trio: bool
    rpc_listener: socket | None = None
    rpc_rules: RpcRules | None = None

    def run(self, say: Callable[[], None]) -> None:
        """Serves until Ctrl-C, SIGTERM, or the RPC's shutdown. Says so once all sockets listen."""
        import anyio

        from shoal.http.serve import told_clients

        backend = "trio" if self.uses_trio else "asyncio"
        with contextlib.ExitStack() as open_now:
            open_now.enter_context(self.listener)
            open_now.enter_context(told_clients(Path(self.store.path), "gateway", self.url + "\n"))
            if self.rpc_listener is not None and self.rpc_rules is not None:
                open_now.enter_context(self.rpc_listener)
                open_now.enter_context(told_clients(Path(self.store.path), "api", self.rpc_rules.api_address))
            anyio.run(self._main, say, backend=backend, backend_options={} if self.uses_trio else {"use_uvloop": False})

    async def _main(self, say: Callable[[], None]) -> None:
        import anyio

        from shoal.http.serve import serve as run_server
        from shoal.node import Node

        stop = anyio.Event()
        async with Node(self.store) as node, anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

                async def end() -> None:
                    async for _ in signals:
                        stop.set()
                        return

                tasks.start_soon(end)
                say()
                async with anyio.create_task_group() as servers:
                    for app, listener in self._applications(node, stop.set):
                        servers.start_soon(run_server, app, listener, stop)
                tasks.cancel_scope.cancel()

    def _applications(self, node: Node, stop: Callable[[], None]) -> list[tuple[Any, socket]]:
        from shoal.http import Gateway
        from shoal.http.metrics import Metrics
        from shoal.http.watched import Watched

        metrics, log = Metrics(), sys.stderr if self.logs else None
        gateway = Gateway(node, self.rules)
        open_to_all = (lambda _: None) if self.shows_metrics else None
        found: list[tuple[Any, socket]] = [
            (
                Watched(gateway, node, metrics, room="gateway", route=_namespace, admit=open_to_all, log=log),
                self.listener,
            )
        ]
        if self.rpc_listener is not None and self.rpc_rules is not None:
            from shoal.http.rpc import Rpc
            from shoal.http.rpc.guard import admit
            from shoal.http.rpc.verbs import route

            rules = self.rpc_rules
            rpc = Rpc(node, rules, stop)
            let_in = lambda request: admit(rules, request)  # noqa: E731
            found.append(
                (Watched(rpc, node, metrics, room="rpc", route=route, admit=let_in, log=log), self.rpc_listener)
            )
        return found


def _namespace(names: tuple[str, ...]) -> str:
    """Which kind of path a request of the gateway is for."""
    return names[0] if names and names[0] in {"ipfs", "ipns", "healthz", "metrics"} else "other"
