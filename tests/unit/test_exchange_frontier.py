"""The edge of a DAG: reading order, what is passed, what is forgotten and read again."""

from __future__ import annotations

from shoal.exchange.frontier import Frontier
from shoal.exchange.message import Link


def leaves(*names, here=()):
    return [Link(name, 10, is_leaf=True, is_here=name in here) for name in names]


def taken(frontier):
    """All that is handed out now."""
    found = []
    while (place := frontier.take()) is not None:
        found.append(place[1].cid)
    return found


def test_links_take_the_place_of_their_block_before_what_lies_behind_it():
    frontier = Frontier([Link("root")])
    assert taken(frontier) == ["root"]
    frontier.links("root", [Link("a"), Link("b"), *leaves("c", "d")])
    assert [frontier.take()[1].cid for _ in range(3)] == ["a", "b", "c"]
    frontier.links("b", leaves("b0", "b1"))
    frontier.links("a", leaves("a0"))
    assert taken(frontier) == ["a0", "b0", "b1", "d"]
    assert frontier.is_exhausted


def test_a_block_with_two_ways_to_it_is_handed_out_once():
    frontier = Frontier([Link("root"), Link("root")])
    assert taken(frontier) == ["root"]
    frontier.links("root", [Link("a"), Link("a"), *leaves("x"), Link("root")])
    assert taken(frontier) == ["a", "x"]
    frontier.arrived("x")
    frontier.links("a", leaves("x"))
    assert taken(frontier) == []
    assert frontier.is_exhausted


def test_it_is_not_exhausted_while_links_are_to_come():
    frontier = Frontier([Link("root")])
    taken(frontier)
    assert not frontier.is_exhausted
    assert frontier.expected() == ["root"]
    frontier.give_up("root")
    assert frontier.is_exhausted


def test_what_is_stored_is_walked_and_not_asked_for():
    frontier = Frontier([Link("root", is_here=True)])
    assert taken(frontier) == []
    assert frontier.walks == ["root"]
    frontier.links("root", leaves("a", "b", "c", here=("b",)))
    assert taken(frontier) == ["a", "c"]


def test_the_furthest_lists_are_forgotten_beyond_the_budget_and_read_again_in_their_turn():
    frontier = Frontier([Link("root")], links_max=10)
    taken(frontier)
    frontier.links("root", [Link("a"), Link("b"), Link("c")])
    assert taken(frontier) == ["a", "b", "c"]
    lists = {name: leaves(*(f"{name}{i}" for i in range(5))) for name in "abc"}
    for name in "cba":
        frontier.links(name, lists[name])
        assert frontier.known_links <= 10 + 5
    found = []
    while not frontier.is_exhausted:
        found += taken(frontier)
        walks, frontier.walks = frontier.walks, []
        for cid in walks:
            frontier.links(cid, lists[cid])
    # Each once; those whose list was forgotten behind the others that were at hand.
    assert sorted(found) == [f"{name}{i}" for name in "abc" for i in range(5)]
    assert found[:5] == [f"a{i}" for i in range(5)]


def test_a_list_is_read_again_when_so_much_came_since_that_it_may_be_here_already():
    for arrived_max, is_read_again in [(2, True), (3, False)]:
        frontier = Frontier([Link("root")], arrived_max=arrived_max)
        taken(frontier)
        frontier.links("root", leaves("a", "b"))
        frontier.take()
        for name in ("x", "y", "z"):
            frontier.arrived(name)
        assert taken(frontier) == ([] if is_read_again else ["b"])
        assert frontier.walks == (["root"] if is_read_again else [])
        if is_read_again:
            # Meanwhile b came by another way, and c was always there.
            frontier.links("root", leaves("a", "b", here=("a", "b")))
            assert taken(frontier) == []
            assert frontier.is_exhausted


def test_links_deeper_than_allowed_are_refused():
    frontier = Frontier([Link("0")], depth_max=3)
    for depth in range(3):
        assert taken(frontier) == [str(depth)]
        is_followed = frontier.links(str(depth), [Link(str(depth + 1))])
        assert is_followed == (depth < 2), depth
    assert frontier.is_exhausted


def test_a_lattice_of_forty_levels_is_walked_once():
    frontier = Frontier([Link("0")])
    count = 0
    while (place := frontier.take()) is not None:
        count += 1
        below = int(place[1].cid) + 1
        frontier.links(place[1].cid, [Link(str(below)), Link(str(below))] if below <= 40 else [])
    assert count == 41
