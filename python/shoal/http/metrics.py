"""What was served, in figures, as Prometheus reads them (text exposition format 0.0.4). Counts in memory; the store is asked when read.

Written here and not by a library: it is four kinds of lines. Labels come from fixed sets only, so that no client can add to them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.results import StoreStat

__all__ = ["METRICS_TYPE", "Metrics"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
"""Upper bounds in seconds: from a range out of memory to an add of a terabyte."""


class Metrics:
    """Counters of one process. All is done in the event loop's thread."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._bytes: dict[str, int] = {}
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self._active: dict[str, int] = {}

    def begin(self, room: str) -> None:
        """A request began."""
        self._active[room] = self._active.get(room, 0) + 1

    def end(self, room: str, route: str, status: int, sent: int, seconds: float) -> None:
        """It ended. Status 0: the client went before there was one."""
        self._active[room] -= 1
        key = room, route, status
        self._requests[key] = self._requests.get(key, 0) + 1
        self._bytes[room] = self._bytes.get(room, 0) + sent
        # A count for each bucket, the sum, and the count of all.
        found = self._seconds.setdefault((room, route), [0.0] * (len(_BUCKETS) + 2))
        for at, bound in enumerate(_BUCKETS):
            found[at] += seconds <= bound
        found[-2] += seconds
        found[-1] += 1

    def text(self, store: StoreStat | None) -> str:
        """All of it, and what the store holds."""
        return "\n".join([*self._lines(store), ""])

    def _lines(self, store: StoreStat | None) -> Iterator[str]:
        yield from _head("shoal_http_requests_total", "counter", "Requests answered.")
        for (room, route, status), count in sorted(self._requests.items()):
            yield f'shoal_http_requests_total{{room="{room}",route="{route}",status="{status}"}} {count}'
        yield from _head("shoal_http_response_bytes_total", "counter", "Bytes of bodies sent.")
        for room, sent in sorted(self._bytes.items()):
            yield f'shoal_http_response_bytes_total{{room="{room}"}} {sent}'
        yield from _head("shoal_http_requests_active", "gauge", "Requests under way.")
        for room, count in sorted(self._active.items()):
            yield f'shoal_http_requests_active{{room="{room}"}} {count}'
        yield from _head("shoal_http_request_seconds", "histogram", "From a request to the last byte of its answer.")
        for (room, route), found in sorted(self._seconds.items()):
            labels = f'room="{room}",route="{route}"'
            for bound, within in zip((*map(str, _BUCKETS), "+Inf"), (*found[:-2], found[-1]), strict=True):
                yield f'shoal_http_request_seconds_bucket{{{labels},le="{bound}"}} {within:.0f}'
            yield f"shoal_http_request_seconds_sum{{{labels}}} {found[-2]:.6f}"
            yield f"shoal_http_request_seconds_count{{{labels}}} {found[-1]:.0f}"
        if store is not None:
            for name, value, about in (
                ("blocks", store.blocks, "Blocks that are live."),
                ("block_bytes", store.bytes, "Bytes of live blocks."),
                ("disk_bytes", store.disk_bytes + store.blob_bytes, "Bytes of packs and blobs on disk."),
                ("dead_bytes", store.dead_bytes, "Bytes of deleted blocks whose room is not free yet."),
                ("pins", store.pins, "Pins."),
                ("packs", store.packs, "Pack files."),
                ("blobs", store.blobs, "Whole files kept beside the packs."),
            ):
                yield from _head(f"shoal_store_{name}", "gauge", about)
                yield f"shoal_store_{name} {value}"
        yield from _head("shoal_start_time_seconds", "gauge", "When this process began to serve, since 1970.")
        yield f"shoal_start_time_seconds {self._started:.3f}"


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
