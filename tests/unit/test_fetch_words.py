"""Nobody waits in the dark: what is said while a fetch goes on, by a clock that the test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shoal.cli import transfer
from shoal.cli.transfer import FetchWords
from shoal.cli.wanted import Wanted
from shoal.errors import InvalidTicket

if TYPE_CHECKING:
    from shoal.results import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(transfer, "time", found)
    return found


def progress(peers: dict[str, int], waiting: str | None = None) -> dict[str, Any]:
    size = sum(peers.values())
    return {"event": "progress", "bytes": size, "bytes_total": 1000, "blocks": 1, "peers": peers, "waiting": waiting}


def test_after_ten_seconds_it_is_said_once_why_nothing_comes(clock, capsys) -> None:
    hear = FetchWords(None, "bafy")
    hear({"event": "unreachable", "reason": "peer X is away"})
    for tenth in range(300):
        clock.now = 100 + tenth / 10
        hear(progress({}, "no peer is connected"))
        if tenth < 100:
            assert capsys.readouterr().err == ""
    (line,) = capsys.readouterr().err.splitlines() or [""]
    assert line.startswith("shoal: nothing comes: no peer is connected (peer X is away)")
    assert "shoal share" in line
    assert "--peer" in line


def test_silence_in_the_middle_is_another_sentence(clock, capsys) -> None:
    hear = FetchWords(None, "bafy")
    hear(progress({"peer-abcdef": 500}))
    clock.now += 9.9
    hear(progress({"peer-abcdef": 500}))
    assert capsys.readouterr().err == ""
    clock.now += 0.1
    hear(progress({"peer-abcdef": 500}))
    assert "after 500 B" in capsys.readouterr().err
    # It came back, and is silent again.
    clock.now += 1
    hear(progress({"peer-abcdef": 600}))
    clock.now += 10
    hear(progress({"peer-abcdef": 600}))
    assert "after 600 B" in capsys.readouterr().err


def test_progress_says_who_sends_how_fast(clock) -> None:
    shown: list[Progress] = []
    hear = FetchWords(shown.append, "bafy")
    hear(progress({}, "asking 2 peers"))
    assert shown[-1].current == "asking 2 peers"
    hear(progress({"peer-aaaaaa": 0, "peer-bbbbbb": 0}))
    assert shown[-1].current == "from 2 peers"
    clock.now += 2
    hear(progress({"peer-aaaaaa": 2000, "peer-bbbbbb": 10_000}))
    assert shown[-1].current == "…bbbbbb 5 kB/s, …aaaaaa 1 kB/s"
    assert (shown[-1].bytes, shown[-1].bytes_total) == (12_000, 1000)
    clock.now += 2
    hear(progress({f"peer-{number}": number for number in range(5)}))
    assert shown[-1].current is not None
    assert shown[-1].current.endswith("and 2 more")


def test_what_is_wanted_has_a_name_that_leads_nowhere_else() -> None:
    assert Wanted.parse(" bafy/a/b/ ") == Wanted("bafy/a/b/", "b")
    assert Wanted.parse("ipfs://bafy") == Wanted("ipfs://bafy", "bafy")
    for text in ("shoal1", "SHOAL1AAAA", "shoal1aaaa/../x"):
        with pytest.raises(InvalidTicket):
            Wanted.parse(text)
