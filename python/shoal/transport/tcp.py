"""TCP: non-blocking sockets, waited for with anyio and read and written directly.

Not anyio's own streams: on asyncio those copy everything through the loop's buffers (`benches/bench_transport.py` has the
figures). The kernel tunes its buffers itself, so none are set here. The one rule: between the system call that takes bytes
or a connection and the return that hands them over, nothing is awaited, so that no cancellation can lose them.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from shoal.errors import CannotListen, ConnectionLost, DialTimeout, InvalidAddress, StreamClosed, Unreachable
from shoal.transport.address import Scope, TcpAddress
from shoal.transport.base import RECEIVE_BYTES, ListenerStatistics, Transport
from shoal.transport.interfaces import interfaces

if TYPE_CHECKING:
    from typing import Any

__all__ = ["TcpListener", "TcpStream", "TcpTransport", "concrete"]

BACKLOG: Final = 512
"""Connections that wait to be accepted. With 128, a burst of 200 had some wait 1 s for their second SYN; the system may allow fewer."""
STARVED_SECONDS: Final = 0.1
"""How long nothing is accepted when there are no file handles: long enough for some to be closed, short against any time-out."""
KEEPALIVE_IDLE_SECONDS: Final = 15
KEEPALIVE_INTERVAL_SECONDS: Final = 5
"""A silent connection is asked after so long, and again, whether the other end still exists. The system's own two hours are no use."""
UNANSWERED_SECONDS: Final = 60
"""An end that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT), or reads nothing. TCP's own would be 15 minutes."""

_PASSED_BY: Final = {
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EINTR",
        "EPROTO",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "ENETDOWN",
        "EPERM",
        "ECONNRESET",
    )
    if hasattr(errno, name)
}
"""What accept(2) gives for a connection that is gone already: the errors of the new socket are reported on the old."""


class TcpStream:
    """A `Stream` over a connected socket, which it owns from here on."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._is_closed = False
        self._cut_off = False
        self._sending = anyio.ResourceGuard("sending to")
        self.remote: str = _multiaddr(connection.getpeername())
        self.local: str = _multiaddr(connection.getsockname())

    def __repr__(self) -> str:
        return f"<TcpStream {self.local} to {self.remote}{', closed' if self._is_closed else ''}>"

    async def receive(self, max_bytes: int = RECEIVE_BYTES) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes is 1 or more")
        await anyio.lowlevel.checkpoint()
        while True:
            self._check_open()
            try:
                return self._socket.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                raise self._lost(error) from None
            await self._wait(anyio.wait_readable)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        with self._sending, memoryview(data) as given, given.cast("B") as view:
            await anyio.lowlevel.checkpoint()
            self._check_may_send()
            sent = 0
            while sent < len(view):
                self._check_open()
                try:
                    with view[sent:] as rest:
                        sent += self._socket.send(rest)
                except (BlockingIOError, InterruptedError):
                    await self._wait(anyio.wait_writable)
                except OSError as error:
                    raise self._lost(error) from None
                # Until it is all out: whether this is cancelled or the stream is closed, the other end must not take it for all.
                self._cut_off = 0 < sent < len(view)

    async def end(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._check_may_send()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(error) from None

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._cut_off:
            # An end would say that this was all.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        _close(self._socket)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StreamClosed(f"the connection to {self.remote} was closed on this side; dial again to go on")

    def _check_may_send(self) -> None:
        self._check_open()
        if self._cut_off:
            raise ConnectionLost(f"an earlier send to {self.remote} was cut off in the middle; dial again to go on")

    async def _wait(self, wait: Any) -> None:
        try:
            await wait(self._socket)
        except (anyio.ClosedResourceError, ValueError, OSError):
            # The socket has no descriptor any more: another task has closed it.
            if not self._is_closed:
                raise
            self._check_open()

    def _lost(self, error: OSError) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self.remote} broke: {_because(error)}; dial again to go on")


class TcpListener:
    """A `Listener` over a listening socket."""

    def __init__(self, listening: socket.socket, address: TcpAddress) -> None:
        self._socket = listening
        self._is_closed = False
        self._accepted = self._aborted = self._starved = 0
        port: int = listening.getsockname()[1]
        self._bound = TcpAddress(address.ip, port, address.zone)

    def __repr__(self) -> str:
        return f"<TcpListener {self._bound}{', closed' if self._is_closed else ''}>"

    @property
    def addresses(self) -> list[str]:
        return [str(address) for address in concrete(self._bound)]

    def statistics(self) -> ListenerStatistics:
        return ListenerStatistics(accepted=self._accepted, aborted=self._aborted, starved=self._starved)

    async def accept(self) -> TcpStream:
        await anyio.lowlevel.checkpoint()
        while True:
            self._check_open()
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                await self._wait()
                continue
            except OSError as error:
                if error.errno in _PASSED_BY:
                    self._aborted += 1
                    await anyio.lowlevel.checkpoint()
                else:
                    # EMFILE, ENFILE, ENOBUFS, ENOMEM: connections stay where they are until there is room again.
                    self._starved += 1
                    await anyio.sleep(STARVED_SECONDS)
                continue
            try:
                _prepare(connection)
                stream = TcpStream(connection)
            except OSError:
                connection.close()
                self._aborted += 1
                continue
            self._accepted += 1
            return stream

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            _close(self._socket)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StreamClosed(f"nothing listens on {self._bound} any more: it was closed on this side")

    async def _wait(self) -> None:
        try:
            await anyio.wait_readable(self._socket)
        except (anyio.ClosedResourceError, ValueError, OSError):
            if not self._is_closed:
                raise
            self._check_open()


class TcpTransport:
    """A `Transport` for `/ip4/A/tcp/P` and `/ip6/A/tcp/P`."""

    def dials(self, address: str) -> bool:
        try:
            _dialable(address)
        except InvalidAddress:
            return False
        return True

    async def dial(self, address: str, *, timeout: float) -> TcpStream:  # noqa: ASYNC109 - the error tells it
        to = _dialable(address)
        place = str(to.without_peer())
        connection = _socket(to, Unreachable)
        try:
            with anyio.fail_after(timeout):
                await _connect(connection, _sockaddr(to, Unreachable))
            if connection.getsockname() == connection.getpeername():
                # A free port dialled on this machine may be the very one that the dialling socket was given.
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            _prepare(connection)
            return TcpStream(connection)
        except BaseException as error:
            _close(connection)
            if isinstance(error, TimeoutError) and error.errno is None:
                raise DialTimeout(
                    f"{place} did not answer within {timeout:g} s; is it switched on, on this network, and let through by its firewall?"
                ) from None
            if isinstance(error, OSError) and not isinstance(error, Unreachable):
                raise _unreachable(place, error) from None
            raise

    async def listen(self, address: str) -> TcpListener:
        await anyio.lowlevel.checkpoint()
        at = TcpAddress.parse(address)
        if at.peer is not None:
            raise InvalidAddress("to listen, leave out the /p2p/… at the end: whoever listens is this node")
        listening = _socket(at, CannotListen)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(_sockaddr(at, CannotListen))
            listening.listen(BACKLOG)
            return TcpListener(listening, at)
        except OSError as error:
            listening.close()
            if isinstance(error, CannotListen):
                raise
            advice = (
                "port 0 takes a free one" if error.errno == errno.EADDRINUSE else "choose an address of this machine"
            )
            raise CannotListen(f"cannot listen on {at}: {_because(error)}; {advice}") from None


def concrete(bound: TcpAddress) -> list[TcpAddress]:
    """What a bound address can be dialled at: itself, or for a wildcard the addresses of all interfaces that are up now.

    A link-local IPv6 address carries its interface. Loopback stands last: it is of no use to others.
    """
    if not bound.ip.is_unspecified:
        return [bound]
    found = [
        TcpAddress(ip, bound.port, interface.name if ip.version == 6 and ip.is_link_local else None)
        for interface in interfaces()
        for ip in interface.addresses
        if ip.version == bound.ip.version
    ]
    return sorted(found, key=lambda address: address.scope is Scope.LOOPBACK)


def _dialable(address: str) -> TcpAddress:
    """An address that somebody can be at."""
    to = TcpAddress.parse(address)
    if to.port == 0 or to.ip.is_unspecified or to.ip.is_multicast:
        raise InvalidAddress(f"nobody can be dialled at {to.without_peer()}: it stands for any place, or for many")
    return to


def _socket(address: TcpAddress, failure: type[Unreachable | CannotListen]) -> socket.socket:
    family = socket.AF_INET if address.ip.version == 4 else socket.AF_INET6
    try:
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    except OSError as error:
        raise failure(f"no socket for {address.without_peer()}: {_because(error)}") from None
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def _sockaddr(address: TcpAddress, failure: type[Unreachable | CannotListen]) -> tuple[Any, ...]:
    if address.ip.version == 4:
        return (str(address.ip), address.port)
    index = 0
    if address.zone is not None:
        try:
            index = socket.if_nametoindex(address.zone)
        except OSError:
            raise failure(f"{address.without_peer()} names an interface that this machine does not have") from None
    return (str(address.ip), address.port, 0, index)


async def _connect(connection: socket.socket, where: tuple[Any, ...]) -> None:
    await anyio.lowlevel.checkpoint()
    try:
        connection.connect(where)
    except BlockingIOError:
        await anyio.wait_writable(connection)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


def _prepare(connection: socket.socket) -> None:
    """What every connection is set to: no waiting to fill packets, and an end for those whose other end is gone."""
    connection.setblocking(False)  # noqa: FBT003 - the standard library's
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_USER_TIMEOUT", UNANSWERED_SECONDS * 1000),
    ):
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _close(open_socket: socket.socket) -> None:
    """Closes a socket, and wakes whoever waits for it."""
    anyio.notify_closing(open_socket)
    open_socket.close()


def _multiaddr(where: tuple[Any, ...]) -> str:
    ip = ipaddress.ip_address(str(where[0]).partition("%")[0])
    zone = None
    if len(where) == 4 and where[3] and ip.is_link_local:
        try:
            zone = socket.if_indextoname(where[3])
        except OSError:  # an interface that has gone since
            zone = None
    return str(TcpAddress(ip, where[1], zone))


def _unreachable(place: str, error: OSError) -> Unreachable:
    kind = DialTimeout if error.errno == errno.ETIMEDOUT else Unreachable
    advice = {
        errno.ECONNREFUSED: "is a node running there, on that port?",
        errno.ENETUNREACH: "is this machine on that network?",
        errno.EHOSTUNREACH: "is it switched on, and on this network?",
        errno.EINVAL: "a link-local address is written with its interface, as /ip6zone/eth0/ip6/fe80::1/tcp/4001",
        errno.EMFILE: "close some connections, or raise the limit of open files (ulimit -n)",
    }.get(error.errno or 0, "check the address, and that no firewall is in the way")
    return kind(f"{place} cannot be reached: {_because(error)}; {advice}")


def _because(error: OSError) -> str:
    return (error.strerror or "it failed").lower()


if TYPE_CHECKING:
    # For the type checker to hold it to the contract.
    _kept: Transport = TcpTransport()
