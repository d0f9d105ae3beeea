"""Serving an application on a socket: uvicorn under asyncio, hypercorn under trio. The one place that knows servers.

The one rule: nothing listens beyond loopback unless the address says so in figures or by name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Address", "listen", "multiaddr_of", "serve", "told_clients"]

_BACKLOG = 2048
_END_SECONDS = 5
"""Answers under way have so long to end when the server is stopped."""
_STALL_SECONDS = 60
"""A peer that does not take what is sent is given up by the kernel after so long (TCP_USER_TIMEOUT): it would keep its buffer for ever."""
_KEEP_ALIVE_SECONDS = 30


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Reads "127.0.0.1:8080", "[::1]:8080", "localhost:0" or ":8080", which is loopback too. Raises `InvalidInput`."""
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise InvalidInput("an address is HOST:PORT, such as 127.0.0.1:8080; port 0 takes a free one")
        return Address(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can come here."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def listen(address: Address) -> socket.socket:
    """A listening socket. Raises `InvalidInput` where the address cannot be had."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALL_SECONDS * 1000)
            listener.bind(where)
            listener.listen(_BACKLOG)
            listener.setblocking(False)  # noqa: FBT003 - the standard library's
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {address.host}:{address.port}: {error.strerror}: choose another with --listen"
        ) from None
    return listener


async def serve(app: Any, listener: socket.socket, stop: anyio.Event) -> None:
    """Serves `app` on a listening socket until `stop` is set; answers under way have a few seconds to end."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        await _with_hypercorn(app, listener, stop)
    else:
        await _with_uvicorn(app, listener, stop)


async def _with_uvicorn(app: Any, listener: socket.socket, stop: anyio.Event) -> None:
    import uvicorn

    from shoal.http.trailers import with_trailers

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Whoever serves decides what Ctrl-C means.
            yield

    config = uvicorn.Config(
        with_trailers(app),
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="off",
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_END_SECONDS,
        # A proxy's word is the gateway's business, not the server's.
        proxy_headers=False,
    )
    server = Server(config)

    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await stop.wait()
            server.should_exit = True

        tasks.start_soon(watch)
        await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()


async def _with_hypercorn(app: Any, listener: socket.socket, stop: anyio.Event) -> None:
    from hypercorn.config import Config
    from hypercorn.trio import serve as serve_with_trio

    config = Config()
    # It takes over the descriptor.
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = _END_SECONDS
    config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
    config.include_server_header = False
    await serve_with_trio(app, config, shutdown_trigger=stop.wait, mode="asgi")


def multiaddr_of(listener: socket.socket) -> str:
    """Where a socket listens, as Kubo writes it: "/ip4/127.0.0.1/tcp/5001"."""
    host, port = listener.getsockname()[:2]
    return f"/ip{'6' if ':' in host else '4'}/{host}/tcp/{port}"


@contextlib.contextmanager
def told_clients(folder: Path, name: str, text: str) -> Iterator[None]:
    """While it is open, the store's folder has a file of that name with that text.

    `gateway` has a URL and `api` a multiaddr: programs that look into `$IPFS_PATH` find us there.
    """
    path = folder / name
    temporary = folder / f".{name}.{os.getpid()}"
    try:
        temporary.write_text(text, encoding="ascii")
        temporary.replace(path)
    except OSError:
        # A store that can only be read is served as well.
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text(encoding="ascii") == text:
                path.unlink()
