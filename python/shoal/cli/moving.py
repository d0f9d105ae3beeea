"""Two nodes in two processes, and plain TCP between two processes beside them: what `shoal demo` moves, and its yardstick.

All on the loopback. The one rule: whatever was started has ended when its block ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from shoal.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shoal import Fetched, Node

_PIECE_BYTES: Final = 1 << 18
_END_SECONDS: Final = 10.0
_LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
_SENDER: Final = """
import socket, sys
port, size, piece = map(int, sys.argv[1:])
data = bytes(piece)
with socket.create_connection(("127.0.0.1", port)) as connection:
    while size > 0:
        size -= connection.send(data[:size] if size < piece else data)
"""


@contextlib.contextmanager
def shared(store: Path, content: str) -> Iterator[list[str]]:
    """A process that shares content of a store, until the block ends: the addresses of its node."""
    words = ["--store", str(store), "share", "--listen", _LISTEN, "--json", content]
    process = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "shoal", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            _, errors = process.communicate(timeout=_END_SECONDS)
            raise NetworkError(
                f"the demo failed: the second node did not start: {errors.decode(errors='replace').strip()}"
            )
        addresses: list[str] = json.loads(line)["addrs"]
        yield addresses
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def fetched_from(store: Path, content: str, addresses: Sequence[str]) -> Fetched:
    """Fetches content into a store of its own, by a node of this process."""
    import anyio

    from shoal import Node
    from shoal.identity import passing_identity

    async def main() -> Fetched:
        node: Node
        async with Node(store, identity=passing_identity()) as node:
            # Connected before the clock starts, as plain TCP is.
            await node.connect(*addresses)
            return await node.fetch(content, peers=addresses[:1])

    return anyio.run(main, backend_options={"use_uvloop": False})


def raw_tcp_seconds(size: int) -> float:
    """Seconds in which this process receives so many bytes from another one, and does nothing with them."""
    buffer = bytearray(_PIECE_BYTES)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(_END_SECONDS)
        port = listener.getsockname()[1]
        words = [sys.executable, "-c", _SENDER, str(port), str(size), str(_PIECE_BYTES)]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL) as sender:  # noqa: S603 - the lines above
            try:
                connection, _ = listener.accept()
                with connection:
                    begun = time.perf_counter()
                    received = 0
                    while count := connection.recv_into(buffer):
                        received += count
                    seconds = time.perf_counter() - begun
            except BaseException:
                sender.kill()
                raise
    if received != size:
        raise NetworkError(f"the demo failed: {received} of {size} bytes came over plain TCP")
    return max(seconds, 1e-9)
