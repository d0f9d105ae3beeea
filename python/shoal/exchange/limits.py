"""Every bound of the exchange, with its reason and what the neighbours do. Bytes and seconds."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

BLOCK_BYTES_MAX: Final = 2 * MIB
"""Longest block, as in the core's limits and everywhere else."""

# What we serve.

WANTS_MAX: Final = 1024
"""Wants that one peer may have standing with us, and we with one peer. Kubo serves as many; unbounded ones were CVE-2023-25568."""
OUTSTANDING_BYTES_MAX: Final = MIB
"""Blocks handed out for one peer and not written yet. Kubo: the same. Less leaves long ways idle between two writes."""
SERVED_BYTES_MAX: Final = 16 * MIB
"""The same for all peers together: what serving costs in memory, however many there are."""
SMALL_BLOCK_BYTES_MAX: Final = KIB
"""A block up to here is sent instead of the word that we have it, and before larger ones. Kubo: the same."""
MESSAGE_BYTES_TARGET: Final = 64 * KIB
"""Where a message of several blocks ends. Kubo ends at 16 KiB, since it opens a stream for each; we write into one."""
PRESENCES_PER_MESSAGE_MAX: Final = 1024
"""Words of having and lacking in one message: one for each want that may stand."""
TURN_BYTES: Final = 256 * KIB
"""What a peer may be sent in its turn. The usual block: more makes others wait, less goes round more often for nothing."""

# What we ask.

IN_FLIGHT_BYTES_MAX: Final = 64 * MIB
"""Bytes asked for and not here, of one session: 5 Gbit/s over 100 ms. It bounds what arrives at once, hence memory."""
DEPTH_BYTES_FIRST: Final = 256 * KIB
"""Asked of a peer of which nothing is measured yet: one block of usual size."""
DEPTH_BYTES_MIN: Final = 64 * KIB
"""Asked of the slowest peer, but two blocks always: one that comes and one that the peer can begin with."""
DEPTH_GAIN: Final = 2.0
"""How many times the bandwidth-delay product is asked. Two: so the measured rate can double within a round trip, as TCP's start."""
REMEASURE_GAIN: Final = 0.75
"""The same while the delay is measured again: less than the way holds, so that no queue is measured with it."""
REMEASURE_SECONDS: Final = 10.0
"""For how long the shortest delay is believed. BBR: the same."""
RATE_ROUND_TRIPS: Final = 8
"""Over so many round trips the highest rate is believed, and as many again. BBR: ten."""
RATE_SECONDS_MIN: Final = 0.5
"""The same, at least: on a loopback eight round trips are shorter than a pause of the peer's collector."""
BLOCK_BYTES_GUESS: Final = 256 * KIB
"""A block of unknown size, before any came."""
REFILL_SHARE: Final = 8
"""A peer is asked again when an eighth of its depth is free: many wants in one message, and the way stays full."""

OPEN_WANTS: Final = 512
"""Wants looked at together while peers have parts only. Many more than are asked at once, so that receivers ask different ones."""
SAMPLE_WANTS: Final = 8
"""Of so many, drawn from the open ones, the rarest is asked. Finds one of the rarest fifth in five of six draws."""
STRANGER_PROBES: Final = 16
"""Wants that a peer is shown which has had none of them: what becomes known of us to those who cannot help."""
STRANGER_PROBES_AT_ONCE: Final = 4
"""The same, at one time."""
STRANGERS_AT_ONCE: Final = 16
"""Peers that are tried at one time when none is known to have a root. Asking all is what flooded Bitswap before 2025."""
STRANGERS_BESIDE_HELP: Final = 8
"""Strangers tried in all while someone is known to help: enough to find others who fetch the same."""
ANSWER_SECONDS: Final = 5.0
"""A peer that has not answered whether it has a block in this time is taken to lack it. Kubo: the same."""

MARGIN_SECONDS: Final = 0.1
"""By how much a block must come sooner from elsewhere to be asked there: less than what an estimate is wrong by is no gain."""
STALL_SECONDS: Final = 2.0
"""Silence in which a peer's blocks are given to others. Longer than TCP takes to send a lost packet again, twice."""
COMING_BYTES: Final = 4 * KIB
"""Of a message on its way, what counts as a sign of life. Less would let a trickle hold a fetch for ever."""
SILENCES: Final = 4
"""A peer is silent too long after a quarter of the whole patience at the latest, however slow it was: three others can be tried."""
STALLS_MAX: Final = 4
"""Stalls in a row, each with nothing delivered, after which a peer is dropped."""
MOVES_SHARE: Final = 100
"""Blocks taken from a peer that delivers, because another is quicker: one in so many. They may come twice."""
MOVES_FREE: Final = 8
"""Of those, not counted: a small fetch has no hundred blocks."""
PATIENCE_SECONDS: Final = 30.0
"""How long nothing may come, or a block be had by nobody, before it is given up with its reason."""
TICK_SECONDS_MIN: Final = 0.05
"""How often it is looked for what is late, at most; and no less often than each second."""
TICK_SECONDS_MAX: Final = 1.0

STRIKES_MAX: Final = 2
"""Blocks that were not asked for, wrong bytes among them, after which a peer is dropped."""
FALSE_HAVES_MAX: Final = 8
"""Times that a peer says it has a block, then that it lacks it. Some are honest: it may have been collected."""
FORGOTTEN_MAX: Final = 2048
"""Wants called back of a peer, for which its answer may be under way: twice what may stand with it."""

LINKS_MAX: Final = 65_536
"""Links known and not asked for. Those furthest from the reader are forgotten, and read again from the stored block in time."""
ARRIVED_MAX: Final = 131_072
"""Blocks remembered as come; a list of links older than that many is read again. Twice LINKS_MAX: seldom for nothing."""
WALKED_MAX: Final = 131_072
"""Blocks remembered as followed, so that a DAG with many ways to each block is walked once."""
DAG_DEPTH_MAX: Final = 1024
"""Levels of a DAG that are followed. Files of our profiles have up to six."""
FAILURES_MAX: Final = 1024
"""Blocks given up, after which the rest is not tried."""
