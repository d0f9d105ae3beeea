"""Given addresses: found once, one `Found` a peer; an address that does not say who is there is refused."""

from __future__ import annotations

import anyio
import pytest

from shoal import CID
from shoal.discovery.base import Discovery, Found
from shoal.discovery.static import ADDRESSES_MAX, Static
from shoal.discovery.ticket import Ticket
from shoal.errors import InvalidAddress

ONE = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


def found_by(discovery: Discovery) -> list[Found]:
    found: list[Found] = []
    anyio.run(discovery.run, None, found.append)
    return found


def test_the_addresses_of_a_peer_are_found_together_and_once():
    given = [
        f"/ip4/192.0.2.1/tcp/1/p2p/{ONE}",
        f"/memory/2/p2p/{OTHER}",
        f"/ip6/::1/tcp/1/p2p/{ONE}",
        f"/memory/2/p2p/{OTHER}",
    ]
    assert found_by(Static(given)) == [
        Found(ONE, ("/ip4/192.0.2.1/tcp/1", "/ip6/::1/tcp/1"), "static"),
        Found(OTHER, ("/memory/2",), "static"),
    ]


@pytest.mark.parametrize(
    "address",
    ["/ip4/192.0.2.1/tcp/1", "", "/p2p/x", f"/p2p/{ONE}", f"a/p2p/{ONE}", f"/ip4/1.2.3.4/tcp/1/p2p/{ONE}/p2p-circuit"],
)
def test_an_address_that_does_not_say_who_is_where_is_refused(address):
    with pytest.raises(InvalidAddress):
        Static([address])


@pytest.mark.parametrize(("count", "fits"), [(ADDRESSES_MAX, True), (ADDRESSES_MAX + 1, False)])
def test_there_are_at_most_so_many(count, fits):
    given = [f"/memory/{number}/p2p/{ONE}" for number in range(1, count + 1)]
    if fits:
        assert len(found_by(Static(given))[0].addresses) == count
    else:
        with pytest.raises(InvalidAddress, match="more than 1024"):
            Static(given)


def test_a_ticket_names_its_peer_or_nobody():
    ticket = Ticket(CID.of(b""), peer=ONE, addresses=("/ip4/192.0.2.1/tcp/1",))
    assert found_by(Static.of_ticket(ticket)) == [Found(ONE, ("/ip4/192.0.2.1/tcp/1",), "static")]
    assert found_by(Static.of_ticket(Ticket(CID.of(b"")))) == []


def test_nothing_is_known_of_roots():
    async def main():
        assert [found async for found in Static([]).find(CID.of(b""))] == []

    anyio.run(main)
