"""Objects as blocks: Python to dag-cbor, dag-json and dag-pb and back, and what is refused."""

import math
import sys

import pytest

import shoal
from shoal import CID, dag_decode, dag_encode
from shoal.errors import InvalidInput, NotFound, UnsupportedCodec

LINK = CID.of(b"hello")
OBJECTS = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    -(2**63) - 1,
    -(2**64),
    0.0,
    1.5,
    -1e300,
    "",
    "text",
    "ü𝄞",
    b"",
    b"\x00\xff",
    [],
    [1, [2, [3]]],
    {},
    {"a": 1, "bb": {"c": [None]}, "": b"x"},
    LINK,
    [LINK, {"link": LINK}],
]


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json"])
@pytest.mark.parametrize("value", OBJECTS, ids=repr)
def test_an_object_comes_back_as_it_was(codec, value):
    again = dag_decode(codec, dag_encode(codec, value))
    assert again == value
    assert type(again) is type(value)


def test_the_encoding_does_not_depend_on_the_order_of_keys():
    assert dag_encode("dag-cbor", {"a": 1, "b": 2}) == dag_encode("dag-cbor", {"b": 2, "a": 1})


def test_tuples_and_other_buffers_are_lists_and_bytes():
    assert dag_encode("dag-cbor", (1, bytearray(b"x"), memoryview(b"y"))) == dag_encode("dag-cbor", [1, b"x", b"y"])


def test_a_dag_pb_node_is_a_map():
    node = {"Data": b"\x08\x01", "Links": [{"Hash": LINK, "Name": "a", "Tsize": 5}]}
    block = dag_encode("dag-pb", node)
    assert dag_decode("dag-pb", block) == node
    with pytest.raises(InvalidInput):
        dag_encode("dag-pb", {"Links": [], "More": 1})


def test_raw_is_bytes_only():
    assert dag_encode("raw", b"x") == b"x"
    assert dag_decode("raw", b"x") == b"x"
    with pytest.raises(InvalidInput):
        dag_encode("raw", "x")


@pytest.mark.parametrize(
    "value", [{1: 2}, {None: 1}, {b"k": 1}, set(), object(), 1j, range(3), [object()], {"a": {"b": {1}}}], ids=repr
)
def test_types_without_a_form_are_type_errors(value):
    with pytest.raises(TypeError):
        dag_encode("dag-cbor", value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 2**64, -(2**64) - 1, 10**100, -(10**100), "\ud800", {"\ud800": 1}],
    ids=repr,
)
def test_values_without_a_form_are_refused(value):
    for codec in ("dag-cbor", "dag-json"):
        with pytest.raises(InvalidInput):
            dag_encode(codec, value)


def test_a_list_that_holds_itself_is_refused():
    own: list = []
    own.append(own)
    loop: dict = {}
    loop["loop"] = [loop]
    for value in (own, loop):
        with pytest.raises(InvalidInput, match="128 levels"):
            dag_encode("dag-cbor", value)


def test_an_object_that_shares_its_parts_a_billion_times_is_refused_soon():
    value: list = [b"x" * 1000]
    for _ in range(100):
        value = [value, value]
    with pytest.raises(InvalidInput, match="larger than a block"):
        dag_encode("dag-cbor", value)
    with pytest.raises(InvalidInput, match="larger than a block"):
        dag_encode("dag-cbor", b"x" * (2 << 20 | 1))


def test_depth_is_bounded_both_ways():
    def nested(depth):
        value: list = []
        for _ in range(depth):
            value = [value]
        return value

    assert dag_decode("dag-cbor", dag_encode("dag-cbor", nested(127))) == nested(127)
    with pytest.raises(InvalidInput):
        dag_encode("dag-cbor", nested(128))
    with pytest.raises(InvalidInput):
        dag_decode("dag-cbor", b"\x81" * 1_000_000 + b"\x00")
    with pytest.raises(InvalidInput):
        dag_decode("dag-json", b"[" * 1_000_000)


def test_a_dict_that_changes_while_it_is_read_does_no_harm():
    victim: dict = {str(n): [n] for n in range(1000)}

    class Changes(str):
        __slots__ = ()

        def __hash__(self):
            victim.clear()
            return super().__hash__()

    victim[Changes("x")] = Changes("y")
    dag_encode("dag-cbor", {"a": victim, "b": [victim] * 3})


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff",
        b"\x18\x01",
        b"\xa2aa\x01aa\x02",
        b"\xfb\x7f\xf8" + bytes(6),
        b"\xd8\x2a\x41\x00",
        b"\x5f",
        b"\x00\x00",
        b"\xc1\x00",
    ],
)
def test_malformed_blocks_are_refused_without_repeating_them(block):
    with pytest.raises(InvalidInput, match="not a dag-cbor block"):
        dag_decode("dag-cbor", block)


def test_unknown_codecs_are_refused():
    for codec in ("dag-nothing", "0x99", "git-raw", ""):
        with pytest.raises(UnsupportedCodec):
            dag_encode(codec, 1)
        with pytest.raises(UnsupportedCodec):
            dag_decode(codec, b"")


def test_objects_are_found_by_path(store, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"content")
    folder = store.add(tmp_path / "folder").cid
    leaf = store.dag.put({"deep": {"list": [10, {"x": "found"}]}, "folder": folder}, codec="dag-json")
    root = store.dag.put({"leaf": leaf, "twice": [leaf, leaf]})
    assert store.dag.get(root) == {"leaf": leaf, "twice": [leaf, leaf]}
    assert store.dag.get(f"{root}/leaf/deep/list/1/x") == "found"
    assert store.dag.get(root / "twice/1/deep/list/0") == 10
    assert store.dag.get(root / "leaf/folder/file") == b"content"
    assert store.dag.resolve(root / "leaf/deep/list/1") == (leaf, "deep/list/1")
    assert store.dag.resolve(root / "leaf") == (leaf, "")
    assert store.dag.get(folder)["Links"][0]["Name"] == "file"
    for path in ("nothing", "leaf/deep/list/2", "leaf/deep/list/01", "leaf/deep/list/1/x/y", "leaf/folder/other"):
        with pytest.raises(NotFound):
            store.dag.get(root / path)


def test_a_path_may_end_with_a_link_to_what_is_not_here(store):
    absent = CID.of(b"absent")
    root = store.dag.put({"link": absent})
    assert store.dag.resolve(root / "link") == (absent, "")
    with pytest.raises(NotFound) as caught:
        store.dag.get(root / "link")
    assert caught.value.cid == absent


def test_loose_json_is_taken_in_and_stored_canonically(store):
    loose = b' { "b" : 2, "a" : 1.0 } '
    cid = store.dag.put_bytes(loose, store_codec="dag-json", hash="sha2-256")
    assert bytes(store.get_block(cid)) == b'{"a":1.0,"b":2}'
    assert store.dag.get(store.dag.put_bytes(loose)) == {"a": 1.0, "b": 2}
    with pytest.raises(InvalidInput):
        store.dag.put_bytes(b"{", input_codec="dag-json")


def test_objects_leave_no_references_behind():
    value = {"a": [1, "text", b"bytes", LINK]}
    parts = [value, value["a"], LINK]
    dag_decode("dag-cbor", dag_encode("dag-cbor", value))
    before = [sys.getrefcount(part) for part in parts]
    for _ in range(10_000):
        dag_decode("dag-cbor", dag_encode("dag-cbor", value))
    assert [sys.getrefcount(part) for part in parts] == before
    assert shoal.CID is CID
