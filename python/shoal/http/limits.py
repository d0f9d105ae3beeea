"""What one gateway spends at most: requests, time, bytes. Each number has its reason beside it, and Kubo's value where there is one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "RpcLimits"]


@dataclass(frozen=True)
class Limits:
    """The bounds of a gateway. All can be set; none can be left out."""

    requests_max: int = 4096
    """Requests answered at a time; the next is told 429. Kubo: 4096."""
    threads: int = 8
    """Threads that read from the store: they mostly wait, and hashing takes the processors anyway."""
    retrieval_seconds: float = 30.0
    """From a request to its first byte; then 504. Kubo: 30 s."""
    response_seconds: float = 3600.0
    """From a request to its last byte; then the answer is cut. Kubo: 1 h."""
    stall_seconds: float = 60.0
    """For a reader to take one piece; then the answer is cut. Kubo: 30 s between writes."""
    response_bytes_max: int | None = None
    """Bytes of an answer that is made here (a file, a tar): more is 410. None for no bound, as with Kubo's default."""
    path_bytes_max: int = 8192
    """Of a request's path and query; more is 414. nginx and uvicorn refuse at about the same."""
    header_bytes_max: int = 32768
    """Of a request's headers together; more is 431."""
    query_fields_max: int = 64
    """Fields of a query; more is 400."""
    names_max: int = 128
    """Names in a path, as deep as the store decodes anything."""
    ranges_max: int = 64
    """Ranges in one request; more, or such as overlap, are answered with the whole file, as Go's server does."""
    redirects_bytes_max: int = 65536
    """Of a `_redirects` file: the specification's number."""
    redirects_rules_max: int = 1000
    """Rules in it: each miss may try them all."""
    listing_entries_max: int = 10_000
    """Entries on a directory's page, about 3 MiB of HTML; the page says when there are more."""
    car_seen_max: int = 1_000_000
    """Blocks that one CAR without duplicates may have: each is remembered, in about 150 bytes. One with duplicates has no such bound."""
    depth_max: int = 128
    """Levels of a DAG, as everywhere in the store."""
    piece_bytes_min: int = 32768
    """What every reader is sent at a time at first. It is in memory about three times: here, in the server, and in its socket's buffer."""
    piece_bytes_max: int = 1048576
    """What a fast reader of a file is sent at a time: measured, more brings nothing."""
    in_flight_bytes: int = 32 * 1048576
    """Shared by the pieces of all answers: with 2,000 slow readers each has 32 KiB on its way, not 1 MiB.
    In memory it is about three times this, as above."""

    def piece_bytes(self, sent: int, active: int) -> int:
        """What to read next for an answer of which `sent` bytes were taken, while `active` are under way.

        A reader that takes what it is given is given more, up to its share.
        """
        share = self.in_flight_bytes // max(1, active)
        return max(self.piece_bytes_min, min(self.piece_bytes_max, share, sent))


@dataclass(frozen=True)
class RpcLimits(Limits):
    """The bounds of the RPC. Whoever comes to it has the token: they keep a mistake from costing the machine."""

    response_seconds: float = 86_400.0
    """A day: an add may be a terabyte. What stalls is ended by `stall_seconds`, whichever side it is."""
    path_bytes_max: int = 65_536
    """Of a request's path and query: some thousand arguments. Kubo: 1 MiB, with the headers."""
    query_fields_max: int = 1024
    """Arguments and options of one call."""
    uploads_max: int = 32
    """Calls that send a body, or that work through the whole store, at a time; each has a thread. The next is told 429."""
    part_header_bytes_max: int = 16_384
    """Of one part of a body: its name has as many bytes as a path of the system may have, each percent-encoded."""
    preamble_bytes_max: int = 65_536
    """Before a body's first part, where mail programs have a line for people."""
    entries_max: int = 1_000_000
    """Files and directories in one add: each is remembered until the end, in about 300 bytes."""
    block_bytes_max: int = 2 * 1024 * 1024
    """Of a block, or an object, that is put: as everywhere in the store."""
    symlink_bytes_max: int = 32_768
    """Of a symbolic link's target, eight times what Linux has."""
    drain_bytes: int = 1024 * 1024
    """What is still read of a body after an error, so that the client gets to read the answer."""
    drain_seconds: float = 1.0
    """And for how long. Go's server: half a second, 256 KiB."""
    records_bytes: int = 32_768
    """Records of a listing that are gathered to one piece."""
    records_seconds: float = 0.1
    """And how long the first of them waits for the others."""
