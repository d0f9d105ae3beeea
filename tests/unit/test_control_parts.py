"""What goes over a node's socket, and where that is: the pure parts. Nothing that comes over it can do more than be refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from shoal.control.message import (
    LINE_BYTES_MAX,
    Request,
    answer_line,
    parse_answer,
    parse_request,
    request_line,
)
from shoal.control.place import PATH_BYTES_MAX, make_folder, socket_path
from shoal.errors import FetchFailed, InvalidInput, ShoalError, StoreError, Unreachable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(max_size=64), st.dictionaries(st.text(), JSON))
def test_a_request_comes_as_it_was_sent(verb: str, arguments: dict[str, object]) -> None:
    line = request_line(Request(verb, arguments))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_request(line) == Request(verb, arguments)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused_with_a_sentence(line: bytes) -> None:
    for parse in (parse_request, parse_answer):
        try:
            parse(line)
        except InvalidInput as error:
            assert str(error)


@pytest.mark.parametrize("version", [0, 2, "1", None, True and 1.5])
def test_another_version_is_told(version: object) -> None:
    with pytest.raises(InvalidInput, match="version 1"):
        parse_request(json.dumps({"shoal": version, "verb": "id", "arguments": {}}).encode())


def test_errors_come_as_the_classes_they_were() -> None:
    answer = parse_answer(answer_line("error", Unreachable("nobody there")))
    assert isinstance(answer.error, Unreachable)
    assert (str(answer.error), answer.error.exit_code) == ("nobody there", 4)
    # A class that only the node knows keeps its code; a name that is no error of Shoal's makes nothing of itself.
    for kind in ("NewerError", "annotations", "__builtins__", "_restore", None, 7):
        line = json.dumps({"error": {"kind": kind, "message": "m", "exit_code": 5}}).encode()
        error = parse_answer(line).error
        assert type(error) is ShoalError
        assert error.exit_code == 5
    assert ShoalError("another").exit_code == 1
    assert FetchFailed("another").exit_code == 4


def test_a_line_has_an_end() -> None:
    with pytest.raises(InvalidInput):
        request_line(Request("get", {"content": "a" * LINE_BYTES_MAX}))
    with pytest.raises(InvalidInput):
        parse_request(b"[" * 100_000)


def test_the_socket_is_in_the_store_up_to_the_last_byte_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    room = PATH_BYTES_MAX - len("/node.sock")
    for length, is_beside in ((room - 1, True), (room, True), (room + 1, False)):
        store = "/" + "a" * (length - 1)
        assert (socket_path(store) == Path(store, "node.sock")) == is_beside
    assert socket_path("/" + "a" * 200).parent == Path("/run/user/1000/shoal")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    short = socket_path("/" + "a" * 200)
    assert short.parent == Path(f"/tmp/shoal-{os.getuid()}")
    assert short == socket_path("/" + "a" * 200)
    assert short != socket_path("/" + "a" * 201)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "not/absolute")
    assert socket_path("/" + "a" * 200) == short


def test_a_folder_that_others_may_enter_holds_no_socket(tmp_path: Path) -> None:
    socket = tmp_path / "open" / "name.sock"
    make_folder(socket)
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    socket.parent.chmod(0o755)
    with pytest.raises(StoreError, match="alone"):
        make_folder(socket)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(StoreError, match="alone"):
        make_folder(link / "name.sock")
