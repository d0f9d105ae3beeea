"""What `shoal doctor` looks at: each check is a function that returns findings, and every fault says a way out.

The one rule: looking changes nothing. What a check has to write is written to a file of its own, and removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from shoal.cli.output import human_bytes
from shoal.errors import InvalidInput, ShoalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.transport.interfaces import Interface

FREE_BYTES_LOW: Final = 1 << 30
"""One pack file: less, and the next large add is the one that fails."""
FREE_BYTES_NONE: Final = 64 << 20
SYNC_SECONDS_SLOW: Final = 0.1
"""Every commit waits for the disk at least twice. A disk that turns needs some 20 ms."""
_SYNCS: Final = 5
FILES_LOW: Final = 1024
"""What systems give by default. A peer takes one, a pack that is read one or two."""
FILES_FEW: Final = 128
SKEW_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.05
YEAR_MIN: Final = 2025
"""Before which no Shoal was made."""
_DIAL_SECONDS: Final = 3.0
PINS_LOOKED_AT: Final = 1000

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """What one look has shown."""

    check: str
    verdict: Verdict
    what: str
    advice: str | None = None
    """A way out, where something is wrong."""


def check_disk(folder: Path) -> Iterator[Finding]:
    """Room, and whether and how fast what is written stays."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    room = f"{human_bytes(free)} free at {place}"
    if free < FREE_BYTES_NONE:
        yield Finding(
            "disk", "fault", room, "make room: `shoal gc` frees what no pin keeps, or move the store to another disk"
        )
    elif free < FREE_BYTES_LOW:
        yield Finding("disk", "warning", room, "make room soon: `shoal gc` frees what no pin keeps")
    else:
        yield Finding("disk", "ok", room)
    yield from _check_writing(place)


def _check_writing(place: Path) -> Iterator[Finding]:
    took = []
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".shoal-doctor-") as file:
            for _ in range(_SYNCS):
                begun = time.monotonic()
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                took.append(time.monotonic() - begun)
            skew = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        advice = f"make {place} writable for this user, or use another store with --store"
        yield Finding("disk", "fault", f"cannot write to {place}: {error.strerror}", advice)
        return
    yield of_sync(statistics.median(took))
    yield of_skew(skew)


def of_sync(seconds: float) -> Finding:
    """The time that a disk takes to keep what it was given."""
    told = f"4 KiB are kept in {1000 * seconds:.3g} ms"
    if seconds > SYNC_SECONDS_SLOW:
        return Finding(
            "disk",
            "warning",
            told,
            "every commit waits for it: a store on a local disk is faster, and many files in one add commit once",
        )
    return Finding("disk", "ok", told)


def of_skew(seconds: float) -> Finding:
    """How far the clock of the file system is from this machine's."""
    if abs(seconds) > SKEW_SECONDS:
        what = f"the file system's clock is {seconds:+.0f} s from this machine's"
        return Finding(
            "clock", "warning", what, "set both by NTP: what changed since it was added is told by these times"
        )
    return Finding("clock", "ok", "the file system agrees on the time")


def check_clock() -> Iterator[Finding]:
    """Whether time passes, and is about now."""
    wall, monotonic = time.time(), time.monotonic()
    time.sleep(_PAUSE_SECONDS)
    yield of_clock(time.gmtime(wall).tm_year, time.time() - wall, time.monotonic() - monotonic)


def of_clock(year: int, wall_seconds: float, monotonic_seconds: float) -> Finding:
    """What two clocks say of a short while."""
    if monotonic_seconds <= 0:
        return Finding(
            "clock", "fault", "the monotonic clock stands still", "restart the machine: no time-out would ever end"
        )
    if year < YEAR_MIN:
        return Finding(
            "clock", "fault", f"the clock says it is {year}", "set the clock: peers refuse keys of another time"
        )
    if abs(wall_seconds - monotonic_seconds) > SKEW_SECONDS:
        return Finding("clock", "warning", "the clock was set while it was looked at", "let NTP move it slowly")
    return Finding("clock", "ok", "time passes, and is about now")


def of_file_limit(soft: int, hard: int) -> Finding:
    """How many files this process may open."""
    told = f"{soft} files may be open at a time"
    if soft < 0 or soft >= FILES_LOW:
        return Finding("limits", "ok", "any number of files may be open" if soft < 0 else told)
    way = (
        f"`ulimit -n {FILES_LOW}` before it"
        if hard < 0 or hard >= FILES_LOW
        else "the system's limit has to be raised: limits.conf, or LimitNOFILE in systemd"
    )
    return Finding(
        "limits", "fault" if soft < FILES_FEW else "warning", told, f"a node has a file for each peer: {way}"
    )


def check_limits() -> Iterator[Finding]:
    """What the system lets this process have."""
    import resource

    yield of_file_limit(*resource.getrlimit(resource.RLIMIT_NOFILE))


def check_keys(folder: Path) -> Iterator[Finding]:
    """Whether the node's key is its owner's alone, and one."""
    keys = folder / "keys"
    if not keys.exists():
        yield Finding("keys", "ok", "no key yet: it is made when a node first needs it")
        return
    mode = stat.S_IMODE(keys.stat().st_mode)
    if mode & 0o077:
        yield Finding("keys", "fault", f"{keys} can be entered by others (mode {mode:03o})", f"`chmod 700 {keys}`")
    for key in sorted(keys.iterdir()):
        mode = stat.S_IMODE(key.lstat().st_mode)
        if mode & 0o077:
            yield Finding(
                "keys",
                "fault",
                f"{key} can be read by others (mode {mode:03o})",
                f"`chmod 600 {key}`; a key that was seen is better made anew: move it away",
            )
    yield from _check_own_key(folder)


def _check_own_key(folder: Path) -> Iterator[Finding]:
    from shoal.identity import NAME, load_identity

    if not (folder / "keys" / NAME).exists():
        return
    with contextlib.suppress(InvalidInput):
        yield Finding("keys", "ok", f"this node is {load_identity(str(folder)).peer_id}")
        return
    # Whoever may read it was told above; what is left is a file that is no key.
    if not stat.S_IMODE((folder / "keys" / NAME).stat().st_mode) & 0o077:
        yield Finding(
            "keys",
            "fault",
            f"{folder / 'keys' / NAME} is no key",
            "move the file away: the node gets a new one, and a new id",
        )


def check_store(folder: Path, *, is_there: bool) -> Iterator[Finding]:
    """Whether the store opens, and what is pinned is there."""
    from shoal import Store

    if not is_there:
        yield Finding("store", "ok", f"no store at {folder} yet: `shoal add` makes one")
        return
    try:
        with Store(folder, read_only=True) as store:
            about = store.stat()
            lost = [pin.cid for pin in list(store.pins.ls())[:PINS_LOOKED_AT] if not store.has(pin.cid)]
    except ShoalError as error:
        yield Finding(
            "store",
            "fault",
            str(error),
            "`shoal verify` says what is hurt; the page 'Verify and recover' says how to go on",
        )
        return
    yield Finding("store", "ok", f"{about.blocks:,} blocks, {human_bytes(about.bytes)}, {about.pins:,} pins")
    if lost:
        what = f"{len(lost)} of the pins are of blocks that are not there, such as {lost[0]}"
        yield Finding(
            "store",
            "fault",
            what,
            "`shoal get` them again where they are shared, or `shoal verify --repair-from` a copy",
        )


def check_socket(folder: Path) -> Iterator[Finding]:
    """Whether commands reach a node that runs."""
    from shoal.control.client import is_running
    from shoal.control.place import socket_path

    path = socket_path(folder)
    if not path.exists():
        yield Finding("node", "ok", "no node runs over this store")
        return
    mode = stat.S_IMODE(path.lstat().st_mode)
    if mode & 0o077:
        yield Finding(
            "node", "fault", f"{path} can be used by others (mode {mode:03o})", "end the node and start it again"
        )
    elif is_running(folder):
        yield Finding("node", "ok", f"a node runs, and answers at {path}")
    else:
        yield Finding("node", "warning", f"a node was killed, and left {path}", "nothing: the next node takes it over")


def check_reach(listening: Sequence[str], found: Sequence[Interface]) -> Iterator[Finding]:
    """Whether this machine is on a network, and its own addresses let connections in."""
    from shoal.transport.address import TcpAddress

    outside = [ip for each in found if not each.is_loopback for ip in each.addresses]
    if not outside:
        what = "this machine has no address but the loopback"
        yield Finding(
            "network", "warning", what, "connect it to a network: until then only this machine can be shared with"
        )
    if not listening:
        for ip in outside:
            family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
            if not ip.is_link_local:
                yield of_dial(f"/ip{ip.version}/{ip}", _dialled_alone(family, str(ip)))
        return
    for text in listening:
        with contextlib.suppress(InvalidInput):
            address = TcpAddress.parse(text)
            yield of_dial(str(address.without_peer()), _dialled(str(address.ip), address.port))
    if all("/ip4/127." in text or "/ip6/::1/" in text for text in listening):
        yield Finding(
            "network",
            "ok",
            "the node listens on this machine alone; `shoal node --listen /ip4/0.0.0.0/tcp/0` lets others in",
        )


def of_dial(address: str, error: str | None) -> Finding:
    """What came of connecting to an address of this machine."""
    if error is None:
        return Finding("network", "ok", f"{address} lets connections in")
    return Finding(
        "network",
        "fault",
        f"{address} does not let connections in: {error}",
        "a firewall on this machine refuses them: allow TCP to the port, or to shoal",
    )


def _dialled(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=_DIAL_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _dialled_alone(family: socket.AddressFamily, host: str) -> str | None:
    """The same where nobody listens: a port of that address is opened for the look, and nobody taken."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((host, 0))
            listener.listen(1)
            return _dialled(host, listener.getsockname()[1])
    except OSError as error:
        return error.strerror or str(error)
