"""What only TCP can be asked: the system's limits, its interfaces, what a child process inherits, what sockets are set to."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
import subprocess
import sys

import anyio
import pytest

from shoal.errors import CannotListen, ConnectionLost, DialTimeout, InvalidAddress, Unreachable
from shoal.transport import tcp
from shoal.transport.address import Scope, TcpAddress
from shoal.transport.interfaces import _without_netlink, interfaces
from shoal.transport.tcp import TcpTransport, concrete

pytestmark = [pytest.mark.anyio]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def port_of(address: str) -> int:
    return TcpAddress.parse(address).port


async def test_a_wildcard_is_listened_on_and_named_by_its_interfaces():
    transport = TcpTransport()
    for wildcard, own in (("/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/tcp/"), ("/ip6/::/tcp/0", "/ip6/::1/tcp/")):
        listener = await transport.listen(wildcard)
        addresses = listener.addresses
        assert addresses[-1].startswith(own), "loopback stands last"
        assert len({port_of(address) for address in addresses}) == 1
        assert port_of(addresses[0]) != 0
        for address in addresses:
            stream = await transport.dial(address, timeout=5)
            await (await listener.accept()).aclose()
            await stream.aclose()
        await listener.aclose()


async def test_ipv4_and_ipv6_can_listen_on_one_port():
    transport = TcpTransport()
    six = await transport.listen("/ip6/::/tcp/0")
    four = await transport.listen(f"/ip4/0.0.0.0/tcp/{port_of(six.addresses[0])}")
    await six.aclose()
    await four.aclose()


async def test_a_listener_outlives_a_lack_of_file_handles():
    transport = TcpTransport()
    listener = await transport.listen("/ip4/127.0.0.1/tcp/0")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [await transport.dial(listener.addresses[0], timeout=5)]
    taken = []

    async def accept() -> None:
        taken.append(await listener.accept())

    try:
        # The next handle is above the limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0]._socket.fileno(), before[1]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            await anyio.sleep(2.5 * tcp.STARVED_SECONDS)
            assert not taken
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert listener.statistics().starved >= 2
    assert listener.statistics().accepted == 1
    for each in (*held, *taken, listener):
        await each.aclose()


async def test_dialling_without_file_handles_says_so():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as last:
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno(), before[1]))
        try:
            with pytest.raises(Unreachable, match="too many open files"):
                await TcpTransport().dial("/ip4/127.0.0.1/tcp/1", timeout=5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_connections_that_are_gone_before_they_are_accepted_end_no_listener():
    transport = TcpTransport()
    listener = await transport.listen("/ip4/127.0.0.1/tcp/0")

    class Flaky:
        """The listening socket, with what accept(2) may give first."""

        def __init__(self):
            self.left = [errno.ECONNABORTED, errno.EPROTO, errno.EMFILE]

        def accept(self):
            if self.left:
                raise OSError(self.left.pop(0), "of the next connection")
            return real.accept()

        def fileno(self):
            return real.fileno()

        def close(self):
            real.close()

    real = listener._socket
    listener._socket = Flaky()
    stream = await transport.dial(listener.addresses[0], timeout=5)
    accepted = await listener.accept()
    statistics = listener.statistics()
    assert (statistics.accepted, statistics.aborted, statistics.starved) == (1, 2, 1)
    for each in (stream, accepted, listener):
        await each.aclose()


async def test_a_peer_that_resets_breaks_the_stream():
    transport = TcpTransport()
    listener = await transport.listen("/ip4/127.0.0.1/tcp/0")
    with socket.create_connection(("127.0.0.1", port_of(listener.addresses[0]))) as plain:
        stream = await listener.accept()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with pytest.raises(ConnectionLost, match="reset by peer"):
        await stream.receive()
    await stream.aclose()
    await listener.aclose()


async def test_a_connection_is_set_to_send_at_once_and_to_notice_who_is_gone():
    transport = TcpTransport()
    listener = await transport.listen("/ip4/127.0.0.1/tcp/0")
    dialled = await transport.dial(listener.addresses[0], timeout=5)
    accepted = await listener.accept()
    for stream in (dialled, accepted):
        assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        assert not stream._socket.getblocking()
        assert not stream._socket.get_inheritable()
        await stream.aclose()
    await listener.aclose()


async def test_a_program_that_is_started_keeps_no_port():
    transport = TcpTransport()
    listener = await transport.listen("/ip4/127.0.0.1/tcp/0")
    address = listener.addresses[0]
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    assert child.stdout.readline() == b"\n"
    try:
        await listener.aclose()
        await (await transport.listen(address)).aclose()
    finally:
        child.communicate(b"\n")


async def test_a_dial_that_meets_itself_is_a_dial_to_nobody(monkeypatch):
    """A free port dialled on this machine can be the very port that the dialling socket is given: TCP then connects it to itself."""
    plain = tcp._socket

    def bound(address, failure):
        made = plain(address, failure)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", address.port))
        return made

    monkeypatch.setattr(tcp, "_socket", bound)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="is a node running there"):
        await TcpTransport().dial(f"/ip4/127.0.0.1/tcp/{port}", timeout=5)


async def test_an_address_of_another_machine_cannot_be_listened_on():
    with pytest.raises(CannotListen, match="choose an address of this machine"):
        await TcpTransport().listen("/ip4/203.0.113.1/tcp/0")


async def test_an_interface_that_is_not_there_is_named_as_the_reason():
    with pytest.raises(Unreachable, match="interface that this machine does not have"):
        await TcpTransport().dial("/ip6zone/no-such/ip6/fe80::1/tcp/1", timeout=5)
    with pytest.raises(CannotListen, match="interface that this machine does not have"):
        await TcpTransport().listen("/ip6zone/no-such/ip6/fe80::1/tcp/1")


async def test_a_link_local_address_without_its_interface_says_how_it_is_written():
    with pytest.raises(Unreachable, match="ip6zone"):
        await TcpTransport().dial("/ip6/fe80::1/tcp/1", timeout=5)


@pytest.mark.parametrize(
    "address", ["/ip4/224.0.0.1/tcp/1", "/ip6/ff02::1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip4/1.2.3.4/tcp/0"]
)
async def test_places_that_stand_for_many_are_not_dialled(address):
    assert not TcpTransport().dials(address)
    with pytest.raises(InvalidAddress):
        await TcpTransport().dial(address, timeout=5)


async def test_an_address_that_swallows_everything_ends_in_a_time_out():
    # A listener whose queue is full drops what comes, as a firewall does.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = f"/ip4/127.0.0.1/tcp/{full.getsockname()[1]}"
        streams = []
        with pytest.raises(DialTimeout) as caught:
            for _ in range(10):
                streams.append(await TcpTransport().dial(address, timeout=0.1))
        for stream in streams:
            await stream.aclose()
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.exit_code == 4


def test_the_interfaces_are_those_of_the_machine():
    found = interfaces()
    loopback = next(interface for interface in found if interface.is_loopback)
    assert ipaddress.ip_address("127.0.0.1") in loopback.addresses
    names = dict(socket.if_nameindex())
    assert all(names[interface.index] == interface.name for interface in found)


def test_without_netlink_the_loopback_is_known(monkeypatch):
    assert _without_netlink()[0].addresses == tuple(map(ipaddress.ip_address, ("127.0.0.1", "::1")))
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert interfaces() == _without_netlink()


def test_a_bound_address_that_is_no_wildcard_stands_for_itself():
    address = TcpAddress.parse("/ip4/192.0.2.1/tcp/4001")
    assert concrete(address) == [address]
    assert concrete(TcpAddress.parse("/ip4/0.0.0.0/tcp/4001"))[-1].scope is Scope.LOOPBACK
