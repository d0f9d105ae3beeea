"""One fetch, step by step: what is asked of whom, whom it drops, and how it ends. Whole worlds are in tests/sim."""

from __future__ import annotations

import pytest

from shoal.exchange.limits import (
    COMING_BYTES,
    FALSE_HAVES_MAX,
    PATIENCE_SECONDS,
    SMALL_BLOCK_BYTES_MAX,
    STRANGER_PROBES,
    STRANGERS_AT_ONCE,
    STRIKES_MAX,
    WANTS_MAX,
)
from shoal.exchange.message import Link, Message
from shoal.exchange.session import Session

SIZE = 50_000


def leaf(name, size=SIZE):
    return Link(name, size, is_leaf=True)


def session(*roots, likely=("p",), strangers=(), **options):
    made = Session(roots or [leaf("a")], 0.0, seed=1, **options)
    for peer in likely:
        made.peer_connected(peer, 0.0, is_likely=True)
    for peer in strangers:
        made.peer_connected(peer, 0.0)
    return made


def asked(fetch):
    """What is sent now: (peer, kind, CID), in order."""
    return [
        (peer, kind, cid)
        for peer, message in fetch.actions().messages
        for kind, cids in (("block", message.want_blocks), ("have", message.want_haves), ("cancel", message.cancels))
        for cid in cids
    ]


def block(name, size=SIZE):
    return Message(blocks=[(name, bytes(size))])


def pass_time(fetch, until, begin=0.0):
    """Lets time pass, doing nothing; returns all that was asked, and the last actions."""
    now, messages, failures, drops = begin, [], [], []
    while now < until and not fetch.is_done:
        now = max(now + 0.01, fetch.deadline())
        fetch.on_time(now)
        actions = fetch.actions()
        messages += actions.messages
        failures += actions.failures
        drops += actions.drops
    return messages, failures, drops, now


def test_a_block_is_asked_for_once_and_taken_once():
    fetch = session()
    assert asked(fetch) == [("p", "block", "a")]
    assert asked(fetch) == []
    assert fetch.received("p", block("a"), 0.1) == [("a", bytes(SIZE))]
    assert fetch.is_done
    assert fetch.received("p", block("a"), 0.2) == []
    assert (fetch.statistics.blocks, fetch.in_flight_bytes, fetch.deadline()) == (1, 0, None)


def test_links_are_followed_in_reading_order_and_leaves_are_not_waited_for():
    fetch = session(Link("root", 100))
    assert asked(fetch) == [("p", "block", "root")]
    fetch.received("p", block("root", 100), 0.1)
    assert not fetch.is_done
    fetch.links("root", [leaf("a"), leaf("b")], 0.1)
    assert asked(fetch) == [("p", "block", "a"), ("p", "block", "b")]
    fetch.received("p", Message(blocks=[("b", b"b"), ("a", b"a")]), 0.2)
    assert fetch.is_done


@pytest.mark.parametrize("count", [STRIKES_MAX - 1, STRIKES_MAX])
def test_who_sends_what_was_not_asked_for_is_dropped_after_the_second(count):
    fetch = session(likely=("p", "q"))
    asked(fetch)
    for i in range(count):
        assert fetch.received("p", block(f"wrong{i}"), 0.1) == []
    actions = fetch.actions()
    assert [peer for peer, _ in actions.drops] == (["p"] if count == STRIKES_MAX else [])
    # What it was asked for is asked of the other at once.
    assert [peer for peer, _ in actions.messages] == (["q"] if count == STRIKES_MAX else [])


def test_a_block_that_was_called_back_is_no_offence_and_is_taken_where_it_is_still_lacking():
    fetch = session(likely=("p", "q"))
    asked(fetch)
    fetch.received("p", Message(dont_haves=["a"]), 0.1)
    assert ("q", "block", "a") in asked(fetch)
    assert fetch.received("p", block("a"), 0.2)
    assert ("q", "cancel", "a") in asked(fetch)
    fetch.received("q", block("a"), 0.3)
    assert fetch.actions().drops == []
    assert fetch.statistics.unasked_blocks == 0


def test_who_says_that_it_has_blocks_and_has_not_is_dropped():
    names = [f"b{i}" for i in range(FALSE_HAVES_MAX + 1)]
    fetch = session(Link("root", 100), likely=("p",))
    asked(fetch)
    fetch.received("p", block("root", 100), 0.1)
    fetch.links("root", [leaf(name) for name in names], 0.1)
    now, dropped = 0.2, []
    while not dropped and now < 60:
        for peer, message in fetch.actions().messages:
            assert peer == "p"
            fetch.received("p", Message(haves=message.want_haves, dont_haves=message.want_blocks), now)
        now += 0.1
        fetch.on_time(now)
        dropped = list(fetch._drops)
    assert [peer for peer, _ in dropped] == ["p"]


def test_a_stranger_is_asked_whether_it_has_the_root_and_then_for_it():
    fetch = session(likely=(), strangers=("s",))
    assert asked(fetch) == [("s", "have", "a")]
    fetch.received("s", Message(haves=["a"]), 0.1)
    assert asked(fetch) == [("s", "block", "a")]


def test_a_root_is_not_shown_to_all_that_are_connected():
    fetch = session(likely=(), strangers=range(100))
    shown = [peer for peer, kind, _ in asked(fetch) if kind == "have"]
    assert len(shown) == STRANGERS_AT_ONCE
    # Those who lack it make way for others.
    for peer in shown:
        fetch.received(peer, Message(dont_haves=["a"]), 0.1)
    more = [peer for peer, kind, _ in asked(fetch) if kind == "have"]
    assert len(more) == STRANGERS_AT_ONCE
    assert not set(shown) & set(more)


def test_what_a_stranger_never_has_is_shown_to_it_only_so_often():
    links = [leaf(f"b{i}") for i in range(200)]
    fetch = session(Link("root", 100), likely=("p",), strangers=("s",))
    shown, now = 0, 0.0
    while not fetch.is_done:
        now += 0.01
        for peer, message in fetch.actions().messages:
            shown += len(message.want_haves)
            if peer == "s":
                fetch.received("s", Message(dont_haves=message.want_haves), now)
            for cid in message.want_blocks if peer == "p" else ():
                fetch.received("p", block(cid), now)
                if cid == "root":
                    fetch.links("root", links, now)
    assert fetch.statistics.blocks == 201
    assert 0 < shown <= STRANGER_PROBES


def test_small_blocks_are_asked_about_at_one_peer_at_a_time():
    for size, count in [(SMALL_BLOCK_BYTES_MAX, 1), (SMALL_BLOCK_BYTES_MAX + 1, 3)]:
        fetch = session(leaf("a", size), likely=(), strangers=("r", "s", "t"))
        assert len(asked(fetch)) == count


def test_no_more_wants_stand_with_a_peer_than_it_serves():
    fetch = session(Link("root", 100))
    asked(fetch)
    fetch.received("p", block("root", 100), 0.1)
    fetch.links("root", [leaf(f"b{i}", 0) for i in range(3 * WANTS_MAX)], 0.1)
    assert len(asked(fetch)) == WANTS_MAX


def test_sizes_that_links_claim_are_not_believed_beyond_what_a_block_may_have():
    fetch = session(Link("root", 1 << 62), leaf("b", 1 << 62), in_flight_bytes_max=1 << 40)
    asked(fetch)
    assert fetch.in_flight_bytes == 2 * (2 << 20)


def test_what_a_peer_that_went_was_asked_for_is_asked_of_another():
    fetch = session(likely=("p", "q"))
    assert asked(fetch) == [("p", "block", "a")]
    fetch.peer_gone("p", 0.1)
    assert asked(fetch) == [("q", "block", "a")]
    fetch.peer_gone("q", 0.2)
    fetch.peer_gone("q", 0.2)
    assert fetch.in_flight_bytes == 0
    fetch.peer_connected("q", 0.3, is_likely=True)
    assert asked(fetch) == [("q", "block", "a")]


def test_a_silent_peers_wants_go_to_another_and_at_last_it_is_dropped():
    fetch = session(Link("a", 100), likely=("p", "q"))
    assert asked(fetch) == [("p", "block", "a")]
    messages, _, _, now = pass_time(fetch, 5)
    assert ("q", ["a"]) in [(peer, list(message.want_blocks)) for peer, message in messages]
    fetch.received("q", block("a", 100), now)
    fetch.links("a", [leaf("b")], now)
    assert asked(fetch) == [("q", "block", "b")]


@pytest.mark.parametrize(("likely", "strangers", "reason"), [
    ((), (), "no peer was connected"),
    (("p",), (), "nothing came for 30 s; peers asked: 1"),
    ((), ("s",), "of the peers connected (1) none said"),
])  # fmt: skip
def test_what_does_not_come_is_given_up_with_its_reason(likely, strangers, reason):
    fetch = session(likely=likely, strangers=strangers)
    _, failures, _, now = pass_time(fetch, 100)
    assert fetch.is_done
    assert PATIENCE_SECONDS <= now <= PATIENCE_SECONDS + 2
    ((cid, why),) = failures
    assert cid == "a"
    assert reason in why


def test_what_all_peers_lack_is_given_up_and_the_rest_comes():
    fetch = session(Link("root", 100))
    asked(fetch)
    fetch.received("p", block("root", 100), 0.1)
    fetch.links("root", [leaf("a"), leaf("b"), leaf("c")], 0.1)
    now, failures = 0.1, []
    while not fetch.is_done:
        actions = fetch.actions()
        failures += actions.failures
        now += 0.1
        for peer, message in actions.messages:
            words = {
                "haves": [cid for cid in message.want_haves if cid != "b"],
                "dont_haves": [cid for cid in (*message.want_blocks, *message.want_haves) if cid == "b"],
                "blocks": [(cid, bytes(SIZE)) for cid in message.want_blocks if cid != "b"],
            }
            fetch.received(peer, Message(**words), now)
        fetch.on_time(now)
    failures += fetch.actions().failures
    assert [cid for cid, _ in failures] == ["b"]
    assert fetch.statistics.blocks == 3


def test_a_fetch_ends_when_its_time_is_over():
    fetch = session(leaf("a"), leaf("b"), ends_at=1.0)
    asked(fetch)
    fetch.on_time(0.999)
    assert not fetch.is_done
    fetch.on_time(1.0)
    actions = fetch.actions()
    assert fetch.is_done
    assert [why for _, why in actions.failures] == ["the time given for it is over"] * 2
    assert [message.cancels for _, message in actions.messages] == [["a", "b"]]


def test_stopping_calls_everything_back():
    fetch = session(leaf("a"), leaf("b"), likely=("p",))
    asked(fetch)
    fetch.stop()
    assert asked(fetch) == [("p", "cancel", "a"), ("p", "cancel", "b")]
    assert fetch.is_done
    assert fetch.received("p", block("a"), 0.1) == []


def test_a_slow_message_on_its_way_is_a_sign_of_life_and_a_trickle_is_not():
    for piece, lives in [(COMING_BYTES, True), (1, False)]:
        fetch = session()
        asked(fetch)
        now = 0.0
        while now < 2 * PATIENCE_SECONDS:
            now += 1.0
            fetch.coming("p", piece, now)
            fetch.on_time(now)
            fetch.actions()
        assert fetch.is_done is not lives


def test_what_a_peer_says_of_blocks_it_was_not_told_of_is_nothing():
    fetch = session()
    asked(fetch)
    before = fetch.held
    fetch.received("p", Message(haves=range(10_000), dont_haves=range(10_000, 20_000)), 0.1)
    fetch.received("unknown", block("a"), 0.1)
    assert fetch.held == before
    assert asked(fetch) == []


def test_a_dag_too_deep_is_given_up():
    fetch = session(Link("0", 10))
    for depth in range(2000):
        if fetch.is_done:
            break
        asked(fetch)
        fetch.received("p", block(str(depth), 10), depth / 100)
        fetch.links(str(depth), [Link(str(depth + 1), 10)], depth / 100)
    failures = fetch.actions().failures
    assert fetch.is_done
    assert len(failures) == 1
    assert "levels below its root" in failures[0][1]
