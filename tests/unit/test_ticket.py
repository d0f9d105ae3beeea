"""Tickets: what the vectors say, every wrong letter noticed, hostile names refused, and errors that say what to do."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from shoal import CID
from shoal.discovery.ticket import TICKET_TEXT_MAX, Ticket, name_for_ticket
from shoal.discovery.ticket_qr import ticket_qr
from shoal.errors import InvalidTicket
from shoal.transport.peer_id import peer_id_bytes, peer_id_text

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "ticket.json").read_text())
ROOT = CID.of(b"hello")
PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
WHOLE = Ticket(
    ROOT, "hello.txt", 5, PEER, ("/ip4/192.0.2.1/tcp/4001", "/ip6/fd00::2/tcp/4001", "/dns4/example.com/tcp/1")
)


def as_text(kind: int, data: str) -> str:
    raw = bytes.fromhex(data)
    if kind == 0:
        return raw.decode()
    return f"/ip{kind}/{ipaddress.ip_address(raw[:-2])}/tcp/{int.from_bytes(raw[-2:], 'big')}"


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
def test_a_ticket_says_what_the_vectors_say(vector):
    ticket = Ticket.parse(vector["ticket"])
    assert bytes(ticket.root).hex() == vector["root"]
    assert (ticket.size, ticket.name) == (vector["size"], vector["called"])
    assert (ticket.peer and peer_id_bytes(ticket.peer).hex()) == vector["peer"]
    assert list(ticket.addresses) == [as_text(*address) for address in vector["addresses"]]
    assert str(ticket) == vector["ticket"]
    assert Ticket(ticket.root, ticket.name, ticket.size, ticket.peer, ticket.addresses) == ticket


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_is_no_ticket_is_refused(vector):
    with pytest.raises(InvalidTicket) as caught:
        Ticket.parse(vector["ticket"])
    assert str(caught.value).isprintable()
    assert caught.value.exit_code == 2


def test_every_wrong_letter_is_noticed():
    text = str(WHOLE)
    for place in range(len(text)):
        for letter in "abcdefghijklmnopqrstuvwxyz234567":
            if letter != text[place]:
                with pytest.raises(InvalidTicket):
                    Ticket.parse(text[:place] + letter + text[place + 1 :])


def test_every_cut_is_noticed_and_told_from_a_wrong_letter():
    text = str(WHOLE)
    for end in range(len("shoal1") + 1, len(text)):
        with pytest.raises(InvalidTicket, match="cut short"):
            Ticket.parse(text[:end])
    with pytest.raises(InvalidTicket, match="cut short: 7 characters are missing"):
        Ticket.parse(text[:-7])


@pytest.mark.parametrize("more", [1, 2, 8, 100])
def test_what_stands_behind_a_ticket_is_named(more):
    with pytest.raises(InvalidTicket, match=f"leave out the last {more} characters"):
        Ticket.parse(str(WHOLE) + "a" * more)


def test_space_around_a_ticket_and_capitals_do_not_matter():
    assert Ticket.parse(f"  \n{WHOLE}\r\n") == WHOLE
    assert Ticket.parse(str(WHOLE).upper()) == WHOLE
    assert str(Ticket.parse(str(WHOLE).upper())) == str(WHOLE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (str(ROOT), "a CID and not a ticket"),
        (f"/ipfs/{ROOT}/a", "a CID and not a ticket"),
        (f"ipfs://{ROOT}", "a CID and not a ticket"),
        ("shoal2abcdef", "of version 2.*update"),
        ("shoal", "begin with shoal1"),
        ("Shoal1abc", "all small or all capital"),
        ("https://example.com", "shoal share"),
        ("", "shoal share"),
        (str(WHOLE)[:20] + "8" + str(WHOLE)[21:], "at its place 21"),
        (str(WHOLE)[:20] + "\n" + str(WHOLE)[20:], "in one line"),
        ("shoal1" + "a" * TICKET_TEXT_MAX, "at most 2048"),
        ("x" * 10_000, "at most 2048"),
    ],
)
def test_an_error_says_what_the_text_is_and_what_to_do(text, says):
    with pytest.raises(InvalidTicket, match=says):
        Ticket.parse(text)


@given(st.text(max_size=100) | st.text("abcdefghijklmnopqrstuvwxyz234567", max_size=200).map("shoal1".__add__))
def test_any_text_is_a_ticket_or_refused(text):
    try:
        ticket = Ticket.parse(text)
    except InvalidTicket:
        return
    assert str(ticket) == text.strip().lower()


names = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters="/\\"), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))
places = st.builds(
    lambda ip, port: f"/ip{ip.version}/{ip}/tcp/{port}",
    st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None),
    st.integers(0, 65535),
)
tickets = st.builds(
    Ticket,
    st.binary(max_size=40).map(CID.of),
    st.none() | names,
    st.none() | st.integers(0, 2**63 - 1),
    st.none() | st.binary(min_size=32, max_size=32).map(lambda key: peer_id_text(b"\0\x24\x08\x01\x12\x20" + key)),
    st.lists(places, max_size=16).map(tuple),
)


@given(tickets)
def test_what_is_written_is_read(ticket):
    text = str(ticket)
    assert len(text) <= TICKET_TEXT_MAX
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert Ticket.parse(text) == ticket


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "/",
        "a\0",
        "a\n",
        "\x1b[2J",
        "a\x7f",
        "\u009b",
        "a\u202eb",
        "\u200b",
        "\ufeff",
        "\u2028",
        "\ud800",
        "n" * 256,
        "ü" * 128,
    ],
)
def test_a_hostile_name_is_neither_written_nor_offered(name):
    with pytest.raises(InvalidTicket, match="cannot have this name"):
        Ticket(ROOT, name)
    assert name_for_ticket(name) is None
    assert Ticket.offering(ROOT, name=name).name is None


@pytest.mark.parametrize("name", ["a", "...", "..a", "a b", " ", "~", "-rf", "a:b", "ü" * 127, "🐟", "n" * 255])
def test_a_fit_name_is_kept(name):
    assert Ticket.parse(str(Ticket(ROOT, name))).name == name


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1},
        {"size": 2**63},
        {"peer": "Qm"},
        {"addresses": ("/ip4/1.2.3.4/tcp/1",) * 17},
        {"addresses": ("/ip4/1.2.3.4/tcp/1/p2p/" + PEER,)},
        {"addresses": ("/ip6/FD00::1/tcp/1",)},
        {"addresses": ("/ip6zone/eth0/ip6/fe80::1/tcp/1",)},
        {"addresses": ("no address",)},
        {"addresses": ("",)},
        {"addresses": ("/" + "a" * 255,)},
        {"addresses": ("/\x1b",)},
        {"addresses": ("/é",)},
        {"addresses": ("/" + "a" * 254,) * 5},
    ],
)
def test_what_a_ticket_cannot_say_is_refused_when_it_is_made(wrong):
    with pytest.raises(InvalidTicket, match="ticket"):
        Ticket(ROOT, **wrong)


def test_what_is_offered_is_what_others_can_use():
    addresses = [
        "/ip6zone/eth0/ip6/fe80::1/tcp/1",
        "/ip4/0.0.0.0/tcp/4001",
        f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}",
        "/ip4/192.0.2.1/tcp/4001",
        "/ip4/192.0.2.2/tcp/0",
        "/dns4/example.com/tcp/1",
        *(f"/ip4/10.0.0.{n}/tcp/1" for n in range(20)),
    ]
    offered = Ticket.offering(ROOT, peer=PEER, addresses=addresses).addresses
    assert offered == (
        "/ip4/192.0.2.1/tcp/4001",
        "/dns4/example.com/tcp/1",
        *(f"/ip4/10.0.0.{n}/tcp/1" for n in range(14)),
    )


def test_an_offer_leaves_out_the_last_addresses_rather_than_be_too_long():
    ticket = Ticket.offering(ROOT, name="n" * 255, addresses=[f"/{n}" + "a" * 252 for n in range(9)])
    assert 0 < len(ticket.addresses) < 9
    assert ticket.name == "n" * 255


# QR codes


def test_a_qr_code_shows_the_modules_of_the_ticket_in_capitals():
    import segno

    lines = ticket_qr(WHOLE).splitlines()
    shown = []
    for line in lines:
        shown.append([block in "▀█" for block in line])
        shown.append([block in "▄█" for block in line])
    expected = segno.make(str(WHOLE).upper(), error="l", micro=False)
    dark = [[bool(module) for module in row] for row in expected.matrix_iter(border=4)]
    assert [[not light for light in row] for row in shown[: len(dark)]] == dark
    assert expected.mode == "alphanumeric"


def test_a_qr_code_that_is_too_wide_is_not_made():
    width = len(ticket_qr(WHOLE).splitlines()[0])
    assert ticket_qr(WHOLE, width) == ticket_qr(WHOLE)
    assert ticket_qr(WHOLE, width - 1) is None


def test_the_longest_ticket_fits_a_qr_code():
    ticket = Ticket.offering(ROOT, name="n" * 255, addresses=[f"/{n}" + "a" * 100 for n in range(16)])
    assert len(str(ticket)) > TICKET_TEXT_MAX - 200
    assert ticket_qr(ticket) is not None
