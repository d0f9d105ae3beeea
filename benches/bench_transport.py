"""Bytes from one end of a transport to the other in one process, beside plain blocking sockets in two threads.

Both ends share one loop and so one core; the threads may use two. iperf3, where it is installed, is two processes.
"""

from __future__ import annotations

import functools
import json
import shutil
import socket
import subprocess
import threading
import time

import anyio
import pytest

from benches.material import MIB, count
from benches.yardstick import Yardstick, seconds
from shoal.transport.memory import MemoryTransport
from shoal.transport.tcp import TcpTransport

SIZE = count("SHOAL_BENCH_MIB", 64) * 8 * MIB
PIECE = MIB


async def move(transport, address: str) -> float:
    """Seconds for SIZE bytes from the dialling end to the accepting one."""
    listener = await transport.listen(address)
    one = await transport.dial(listener.addresses[0], timeout=5)
    other = await listener.accept()
    piece = bytes(PIECE)

    async def send() -> None:
        for _ in range(SIZE // PIECE):
            await one.send(piece)
        await one.end()

    began = time.perf_counter()
    received = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        while part := await other.receive():
            received += len(part)
    took = time.perf_counter() - began
    assert received == SIZE
    for each in (one, other, listener):
        await each.aclose()
    return took


async def move_with_anyio(host: str) -> float:
    """The same over anyio's own streams."""
    async with await anyio.create_tcp_listener(local_host=host) as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        received = 0
        ready = anyio.Event()

        async def serve(stream) -> None:
            nonlocal received
            async with stream:
                async for part in _parts(stream):
                    received += part
            ready.set()

        piece = bytes(PIECE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            one = await anyio.connect_tcp(host, port)
            began = time.perf_counter()
            for _ in range(SIZE // PIECE):
                await one.send(piece)
            await one.send_eof()
            await ready.wait()
            took = time.perf_counter() - began
            await one.aclose()
            tasks.cancel_scope.cancel()
        assert received == SIZE
        return took


async def _parts(stream):
    while True:
        try:
            yield len(await stream.receive(256 * 1024))
        except anyio.EndOfStream:
            return


def threads() -> float:
    """Plain sockets, one thread at each end."""
    listening = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listening.getsockname())
    other, _ = listening.accept()

    def send() -> None:
        piece = bytes(PIECE)
        for _ in range(SIZE // PIECE):
            one.sendall(piece)
        one.shutdown(socket.SHUT_WR)

    def move() -> None:
        sender = threading.Thread(target=send)
        sender.start()
        received = 0
        while part := other.recv(256 * 1024):
            received += len(part)
        sender.join()
        assert received == SIZE

    took = seconds(move)
    for each in (one, other, listening):
        each.close()
    return took


def iperf3() -> Yardstick | None:
    """Seconds that iperf3 would need for SIZE over the loopback."""
    binary = shutil.which("iperf3")
    if binary is None:
        return None
    server = subprocess.Popen([binary, "-s", "-1", "-p", "53217"], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    told = subprocess.run(
        [binary, "-c", "127.0.0.1", "-p", "53217", "-n", str(SIZE), "-J"], capture_output=True, check=True
    )
    server.wait()
    return Yardstick("iperf3", SIZE * 8 / json.loads(told.stdout)["end"]["sum_received"]["bits_per_second"])


def run(backend: str, work) -> float:
    return anyio.run(work, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", ["tcp", "memory"])
def bench_bytes_through_a_stream(benchmark, beside, kind: str, backend: str) -> None:
    transport, address = {
        "tcp": (TcpTransport(), "/ip4/127.0.0.1/tcp/0"),
        "memory": (MemoryTransport(), "/memory/0"),
    }[kind]
    ours, plain, theirs = [], [], []
    # In turns, so that whatever else the machine does falls on all of them.
    for _ in range(5):
        plain.append(threads())
        ours.append(run(backend, functools.partial(move, transport, address)))
        theirs.append(run(backend, functools.partial(move_with_anyio, "127.0.0.1")))
    benchmark.pedantic(lambda: run(backend, functools.partial(move, transport, address)), rounds=1)
    beside(min(ours), SIZE, Yardstick("sockets in two threads", min(plain)))
    beside(min(ours), SIZE, Yardstick("anyio's streams", min(theirs)))
    if kind == "tcp":
        beside(min(ours), SIZE, iperf3())
