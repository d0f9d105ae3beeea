"""The yardstick of the link: bytes through one TCP connection, two processes, nothing checked and nothing encrypted.

`python -m benches.peers.exchange.raw` is the receiving child. iperf3, where it is installed, does the same.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time

from benches.peers.exchange.child import Child

PIECE = 1 << 20
RECEIVE = 256 * 1024
WAIT_SECONDS = 120.0


def pump(size: int) -> float:
    """Seconds from the first byte sent to the last one received by the other process."""
    with Child("benches.peers.exchange.raw") as child:
        port = child.answer()["port"]
        piece = memoryview(bytes(PIECE))
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
            started = time.perf_counter()
            left = size
            while left:
                sent = piece[: min(left, PIECE)]
                connection.sendall(sent)
                left -= len(sent)
            connection.shutdown(socket.SHUT_WR)
            received = child.answer()["received"]
        took = time.perf_counter() - started
    if received != size:
        raise ValueError(f"{received} of {size} bytes came")
    return took


def iperf3(size: int) -> float | None:
    """Seconds that iperf3 takes; None where it is not installed."""
    binary = shutil.which("iperf3")
    if binary is None:
        return None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = subprocess.Popen([binary, "-s", "-1", "-B", "127.0.0.1", "-p", port], stdout=subprocess.DEVNULL)
    try:
        client = [binary, "-c", "127.0.0.1", "-p", port, "-n", str(size), "-J"]
        for _ in range(50):
            time.sleep(0.1)
            done = subprocess.run(client, capture_output=True, check=False, timeout=WAIT_SECONDS)
            if done.returncode == 0:
                return size * 8 / float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"])
        raise TimeoutError("iperf3 -s took no connection")
    finally:
        server.kill()
        server.wait()


def receive() -> None:
    """The child: takes one connection, reads it to its end, and says how many bytes came."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(WAIT_SECONDS)
        print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
        connection, _ = listening.accept()
        received = 0
        with connection:
            into = bytearray(RECEIVE)
            while count := connection.recv_into(into):
                received += count
        print(json.dumps({"received": received}), flush=True)


if __name__ == "__main__":
    sys.exit(receive())
