"""Peers on the local network, by multicast DNS: the `_p2p._udp.local` service of Kubo, go-libp2p and py-libp2p.

Each link that is up, in IPv4 and IPv6, has a socket of its own, bound to the multicast group: so a packet's link is known, and
no unicast packet is taken from another mDNS program of this machine. What is read and written is `mdns_packet`'s business,
what is told and believed `mdns_rules`'. A link on which this is forbidden is a warning; the others go on.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import random
import socket
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
import anyio.lowlevel

from shoal.discovery.base import Announcement, Discovery, Found
from shoal.discovery.mdns_packet import (
    PACKET_BYTES_MAX,
    Query,
    Reply,
    is_relevant,
    query_packet,
    read_packet,
    reply_packet,
    services_packet,
)
from shoal.discovery.mdns_rules import Backoff, Budget, Heard, believed, random_name, told
from shoal.transport.interfaces import Interface, interfaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

__all__ = ["Mdns", "MdnsStatistics"]

PORT: Final = 5353
GROUPS: Final[dict[int, str]] = {4: "224.0.0.251", 6: "ff02::fb"}
LINKS_MAX: Final = 64
"""Sockets at most. A host of containers has an interface for each of them."""
LOOK_SECONDS_FIRST: Final = 0.25
LOOK_SECONDS: Final = 5.0
"""How often it is looked for links that came or went: how long a laptop that joins a network waits to be found."""
ANSWER_DELAY_SECONDS: Final = (0.02, 0.12)
"""Answers wait so long by the dice, so that those of a whole link do not meet. RFC 6762 §6."""
ANSWER_INTERVAL_SECONDS: Final = 1.0
"""On one link, the same is not said again sooner. RFC 6762 §6."""
_MULTICAST_ALL: Final = 49
"""IP_MULTICAST_ALL: off, a socket hears only the groups that it joined, on the links where it did. Linux; not in `socket`."""
_NO_WAY: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETDOWN}
)


@dataclass(slots=True)
class MdnsStatistics:
    """What was heard and said so far."""

    links: int = 0
    """Sockets open now."""
    packets: int = 0
    over_budget: int = 0
    """Packets that were not read, since there were too many."""
    not_ours: int = 0
    """Packets about other services, or not well formed."""
    queries: int = 0
    replies: int = 0
    asked: int = 0
    answered: int = 0
    found: int = 0


class Mdns(Discovery):
    """Finds peers on the local network, and answers for us where there is something to announce.

    `on_warning` gets a sentence when a link cannot be used; without it, Python's logging does. `uses` chooses among the
    interfaces that are up: by default the loopback, where nodes of this machine meet, and those that can multicast.
    """

    name = "mdns"

    def __init__(
        self,
        *,
        on_warning: Callable[[str], None] | None = None,
        uses: Callable[[Interface], bool] | None = None,
        port: int = PORT,
        dice: random.Random | None = None,
    ) -> None:
        self._on_warning = on_warning or logging.getLogger(__name__).warning
        self._uses = uses or (lambda interface: interface.is_loopback or interface.can_multicast)
        self._port = port
        self._dice = dice or random.SystemRandom()
        self._warned: set[str] = set()
        self._statistics = MdnsStatistics()

    def statistics(self) -> MdnsStatistics:
        """What was heard and said so far."""
        return self._statistics

    async def run(self, announce: Announcement | None, found: Callable[[Found], None]) -> None:
        shared = _Shared(self, announce, found)
        links: dict[tuple[Interface, int], anyio.CancelScope] = {}
        # More often at first: a machine that has just started, or a cable just put in, has its addresses a moment later.
        seconds = LOOK_SECONDS_FIRST
        async with anyio.create_task_group() as tasks:
            while True:
                wanted = self._wanted()
                for gone in links.keys() - wanted.keys():
                    links.pop(gone).cancel()
                for key in wanted:
                    if key not in links:
                        scope = self._begin(key, shared, tasks, links)
                        if scope is not None:
                            links[key] = scope
                await anyio.sleep(seconds)
                seconds = min(2 * seconds, LOOK_SECONDS)

    def _wanted(self) -> dict[tuple[Interface, Literal[4, 6]], None]:
        """The links there are now. One whose addresses have changed is another."""
        versions: tuple[Literal[4, 6], ...] = (4, 6)
        found = [
            (interface, version)
            for interface in interfaces()
            if self._uses(interface)
            for version in versions
            # Linux has no way for IPv6 multicast over the loopback.
            if any(ip.version == version for ip in interface.addresses) and not (interface.is_loopback and version == 6)
        ]
        return dict.fromkeys(found[:LINKS_MAX])

    def _begin(
        self,
        key: tuple[Interface, Literal[4, 6]],
        shared: _Shared,
        tasks: TaskGroup,
        links: dict[tuple[Interface, int], anyio.CancelScope],
    ) -> anyio.CancelScope | None:
        interface, version = key
        try:
            link = _Link(interface, version, _socket(interface, version, self._port), self._port, shared)
        except OSError as error:
            self._warn(interface, error)
            return None
        scope = anyio.CancelScope()

        async def hold() -> None:
            self._statistics.links += 1
            try:
                with scope:
                    await link.run()
            finally:
                self._statistics.links -= 1
                # A link that failed is tried again when it is next looked for.
                if links.get(key) is scope:
                    del links[key]

        tasks.start_soon(hold, name=f"shoal mdns {interface.name or interface.index} {version}")
        return scope

    def _warn(self, interface: Interface, error: OSError) -> None:
        why = (error.strerror or "it failed").lower()
        advice = "peers there are not found by themselves: allow UDP port 5353, or give their addresses"
        sentence = f"multicast on {interface.name or 'this network'} does not work ({why}); {advice}"
        if sentence not in self._warned and len(self._warned) < LINKS_MAX:
            self._warned.add(sentence)
            self._on_warning(sentence)


class _Shared:
    """What the links of one run have together."""

    def __init__(self, mdns: Mdns, announce: Announcement | None, found: Callable[[Found], None]) -> None:
        self.announce = announce
        self.found = found
        self.dice = mdns._dice
        self.instance = random_name(mdns._dice)
        self.budget = Budget()
        self.heard = Heard(mdns.name)
        self.statistics = mdns._statistics
        self.warn = mdns._warn


class _Link:
    """One interface, in one version of IP."""

    def __init__(
        self, interface: Interface, version: Literal[4, 6], opened: socket.socket, port: int, shared: _Shared
    ) -> None:
        self._interface = interface
        self._socket = opened
        self._to: tuple[Any, ...] = (GROUPS[4], port) if version == 4 else (GROUPS[6], port, 0, interface.index)
        self._port = port
        self._shared = shared
        self._is_asked = anyio.Event()
        self._place = f"{interface.index}/{version}"

    async def run(self) -> None:
        """Until it is cancelled, or the link is gone."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ask)
                if self._shared.announce is not None:
                    tasks.start_soon(self._answer)
                await self._listen()
        except* OSError as errors:
            for error in errors.exceptions:
                if isinstance(error, OSError):
                    self._shared.warn(self._interface, error)
        finally:
            anyio.notify_closing(self._socket)
            self._socket.close()

    async def _ask(self) -> None:
        await anyio.sleep(self._shared.dice.uniform(*ANSWER_DELAY_SECONDS))
        backoff = Backoff(self._shared.dice)
        while True:
            self._send(query_packet(), self._to)
            self._shared.statistics.asked += 1
            await anyio.sleep(backoff.next())

    async def _answer(self) -> None:
        """Says who we are when asked, with all who ask meanwhile answered at once."""
        while True:
            await self._is_asked.wait()
            await anyio.sleep(self._shared.dice.uniform(*ANSWER_DELAY_SECONDS))
            self._is_asked = anyio.Event()
            self._send(self._reply(None), self._to)
            await anyio.sleep(ANSWER_INTERVAL_SECONDS)

    async def _listen(self) -> None:
        statistics = self._shared.statistics
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data, source = self._socket.recvfrom(PACKET_BYTES_MAX + 1)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                # Of an earlier send, such as a port that nobody listens on.
                if error.errno in (errno.ENETDOWN, errno.ENODEV, errno.EBADF):
                    raise
                continue
            statistics.packets += 1
            if not self._shared.budget.allows(str(source[0]), anyio.current_time()):
                statistics.over_budget += 1
            elif not is_relevant(data) or (read := read_packet(data)) is None:
                statistics.not_ours += 1
            elif isinstance(read, Query):
                statistics.queries += 1
                self._asked(read, source)
            elif source[1] == self._port:
                # RFC 6762 §6: answers from other ports are no answers.
                statistics.replies += 1
                self._told(read)

    def _asked(self, query: Query, source: tuple[Any, ...]) -> None:
        shared = self._shared
        if shared.announce is None:
            return
        is_legacy = source[1] != self._port
        to_one = (is_legacy or query.wants_unicast) and self._is_on_link(str(source[0]))
        if query.asks_for_services:
            self._send(services_packet(query.id if is_legacy else 0), source if to_one else self._to)
        if shared.instance not in query.instances and (not query.asks_for_peers or shared.instance in query.known):
            return
        if to_one:
            self._send(self._reply(query if is_legacy else None), source)
        elif not is_legacy:
            self._is_asked.set()

    def _is_on_link(self, source: str) -> bool:
        """Answers to one sender go to this link only: who writes another's address into its packets makes us no nuisance to that."""
        ip = ipaddress.ip_address(source.partition("%")[0])
        return any(ip in network for network in self._interface.networks)

    def _told(self, reply: Reply) -> None:
        shared = self._shared
        own = shared.announce.peer if shared.announce is not None else None
        for instance, record in reply.peers.items():
            if instance == shared.instance or record.ttl == 0:
                continue
            for peer, addresses in believed(record, self._interface, own).items():
                found = shared.heard.heard(self._place, peer, addresses, anyio.current_time())
                if found is not None:
                    shared.statistics.found += 1
                    shared.found(found)

    def _reply(self, legacy: Query | None) -> bytes | None:
        announce = self._shared.announce
        if announce is None:
            return None
        addresses, ips = told(announce, self._interface)
        return reply_packet(self._shared.instance, addresses, ips, legacy)

    def _send(self, packet: bytes | None, to: tuple[Any, ...]) -> None:
        if packet is None:
            return
        try:
            self._socket.sendto(packet, to)
        except OSError as error:
            if error.errno in _NO_WAY:
                self._shared.warn(self._interface, error)
            # Whatever else there is, a full buffer for one: a lost packet, as any may be.
            return
        if to == self._to and packet[2] & 0x80:
            self._shared.statistics.answered += 1


def _socket(interface: Interface, version: Literal[4, 6], port: int) -> socket.socket:
    """A socket that hears a group on one interface, beside those of other programs."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux gives a packet to one only of the sockets that have SO_REUSEPORT, on whatever link (seen with 6.18); others need it.
        if not sys.platform.startswith("linux") and (reuse_port := getattr(socket, "SO_REUSEPORT", None)) is not None:
            made.setsockopt(socket.SOL_SOCKET, reuse_port, 1)
        group = socket.inet_pton(family, GROUPS[version])
        if version == 4:
            own = next((ip.packed for ip in interface.addresses if ip.version == 4), bytes(4))
            membership = struct.pack("=4s4si", group, own, interface.index)
            made.bind((GROUPS[4], port))
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            made.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((GROUPS[6], port, 0, interface.index))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("=16si", group, interface.index))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    except OSError:
        made.close()
        raise
    return made
