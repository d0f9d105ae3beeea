"""The gateway and the RPC beside Kubo's and beside nginx: `python -m benches.gateway [--mib 1024] [--rounds 5]`.

The same DAG in all of them, over loopback, in memory. What is timed alternates, round after round, and the medians are printed as a
Markdown table, with the ratio that is aimed at, and the seconds of processor that each server took: on a machine that does other
work besides, those are the steadier figure. nginx serves the plain file: it checks nothing, and is what a socket can do here.

Needs Kubo (`.ci/kubo`, or SHOAL_KUBO) and curl. Rows that need nginx (SHOAL_NGINX) or wrk (SHOAL_WRK) are left out without them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import shoal
from benches.machine import this_machine
from benches.material import painted_file, working_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = 64
RANGE_SECONDS = 5
MIB = 1 << 20
# wrk's script: another 4 KiB each time, by a plain generator with a fixed seed.
RANGES = """
local at = 1
function request()
  at = (at * 1103515245 + 12345) % 2147483648
  local first = (at % {blocks}) * 4096
  return wrk.format("GET", nil, {{["Range"] = "bytes=" .. first .. "-" .. first + 4095}})
end
"""

# The servers that run, by name.
PROCESSES: dict[str, int] = {}


def processor_seconds(name: str) -> float:
    """What a server has taken since it started, in user and system time."""
    fields = Path(f"/proc/{PROCESSES[name]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def kubo(folder: Path, car: Path) -> Iterator[tuple[str, str]]:
    """A gateway and an RPC of Kubo's, offline, with the CAR's blocks."""
    cache = Path(os.environ.get("SHOAL_CI_CACHE") or Path.home() / ".cache" / "shoal-ci")
    binary = os.environ.get("SHOAL_KUBO") or str(cache / "kubo-0.42.0" / "ipfs")
    environment = {**os.environ, "IPFS_PATH": str(folder / "kubo"), "IPFS_TELEMETRY": "off"}

    def run(*words: str) -> None:
        subprocess.run([binary, *words], env=environment, check=True, capture_output=True)

    gateway, api = free_port(), free_port()
    run("init", "--profile=unixfs-v1-2025,test")
    run("config", "Addresses.Gateway", f"/ip4/127.0.0.1/tcp/{gateway}")
    run("config", "Addresses.API", f"/ip4/127.0.0.1/tcp/{api}")
    run("dag", "import", str(car))
    process = subprocess.Popen([binary, "daemon", "--offline"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert any("Daemon is ready" in line for line in process.stdout)
        PROCESSES["Kubo"] = process.pid
        yield f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{api}"
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def ours(store: Path) -> Iterator[tuple[str, str, str]]:
    """Our gateway and RPC, and the token."""
    words = ["serve", "--listen", "127.0.0.1:0", "--rpc", "--rpc-listen", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "--store", str(store), *words], stdout=subprocess.PIPE, text=True
    )
    try:
        ready = json.loads(process.stdout.readline())
        PROCESSES["Shoal"] = process.pid
        yield ready["url"], ready["rpc"]["url"], Path(ready["rpc"]["token_file"]).read_text().strip()
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def nginx(folder: Path, file: Path) -> Iterator[str | None]:
    """A server of the plain file; None where there is no nginx."""
    binary = os.environ.get("SHOAL_NGINX") or shutil.which("nginx")
    if binary is None:
        yield None
        return
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;\n"
        f"events {{}}\nhttp {{ access_log off; sendfile on; keepalive_requests 1000000;\n"
        + "".join(f"{kind}_temp_path {folder}/tmp;\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f"server {{ listen 127.0.0.1:{port}; root {file.parent}; }} }}\n"
    )
    process = subprocess.Popen([binary, "-c", str(settings)])
    PROCESSES["nginx"] = process.pid
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{file.name}"
    finally:
        process.terminate()
        process.wait()


def fetched(url: str, *words: str) -> float:
    """Seconds to fetch a URL to nowhere."""
    begin = time.perf_counter()
    subprocess.run(["curl", "-sSf", "-o", "/dev/null", *words, url], check=True)
    return time.perf_counter() - begin


def fetched_by_many(url: str, size: int) -> float:
    """Seconds for many clients to fetch a part each, all at once."""
    part = size // CLIENTS
    ranges = [f"{at * part}-{(at + 1) * part - 1}" for at in range(CLIENTS)]
    threads = [threading.Thread(target=fetched, args=(url, "-r", span)) for span in ranges]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def asked(wrk: str, script: Path, url: str) -> tuple[float, float]:
    """4 KiB ranges a second, and the milliseconds within which 99 of 100 came."""
    words = [wrk, "-t1", "-c16", f"-d{RANGE_SECONDS}s", "--latency", "-s", str(script), url]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told, told
    lines = [line.split() for line in told.splitlines()]
    rate = next(float(words[1]) for words in lines if words[:1] == ["Requests/sec:"])
    late = next(words[1] for words in lines if words[:1] == ["99%"])
    scale = {"us": 1e-3, "ms": 1.0}
    return rate, float(late[:-2]) * scale[late[-2:]] if late[-2:] in scale else float(late[:-1]) * 1e3


def rounds_of(jobs: dict[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, float]]:
    """The median of each, run in turns, and the median of its server's processor seconds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            before = processor_seconds(name)
            result = job()
            found[name].append((result, processor_seconds(name) - before))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}


def row(what: str, found: dict[str, tuple[float, float]], unit: str, scale: float, goals: str) -> None:
    """A line of the table. With a `scale`, what was found are seconds for so much."""
    rates = {name: scale / each[0] if scale else each[0] for name, each in found.items()}
    taken = ", ".join(f"{name} {each[1]:.2f}" for name, each in found.items())
    own = rates["Shoal"]
    others = "; ".join(f"{name} {rate:,.0f}, ratio {own / rate:.2f}" for name, rate in rates.items() if name != "Shoal")
    print(f"| {what} | {own:,.0f} {unit} | {others} | {taken} | {goals} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    size = options.mib * MIB
    wrk = os.environ.get("SHOAL_WRK") or shutil.which("wrk")
    with working_folder() as folder:
        file = painted_file(folder / "file", size)
        with shoal.Store(folder / "store") as store:
            root = store.add(file, profile="unixfs-v1-2025").cid
            store.dag.export_car(root, folder / "file.car")
        with (
            kubo(folder, folder / "file.car") as (their_gateway, their_rpc),
            ours(folder / "store") as (our_gateway, our_rpc, token),
            nginx(folder, file) as plain,
        ):
            (folder / "file.car").unlink()
            machine = this_machine()
            print(
                f"{machine.processor}, {machine.cores_used} cores, load {os.getloadavg()[0]:.1f}, {options.rounds} rounds\n"
            )
            print("| job | Shoal | beside | processor seconds | goal |\n| --- | --- | --- | --- | --- |")
            urls = {"Shoal": f"{our_gateway}/ipfs/{root}", "Kubo": f"{their_gateway}/ipfs/{root}"}
            files = urls | ({"nginx": plain} if plain else {})

            mib = size / MIB
            jobs = {name: lambda url=url: fetched(url) for name, url in files.items()}
            row("file, one client", rounds_of(jobs, options.rounds), "MiB/s", mib, "≥ 1.0 Kubo, ≥ 0.5 nginx")
            jobs = {name: lambda url=url: fetched_by_many(url, size) for name, url in files.items()}
            row(f"file, {CLIENTS} clients at once", rounds_of(jobs, options.rounds), "MiB/s", mib, "≥ 1.0 Kubo")
            jobs = {name: lambda url=url: fetched(f"{url}?format=car") for name, url in urls.items()}
            row("CAR", rounds_of(jobs, options.rounds), "MiB/s", mib, "≥ 3 Kubo")
            form = ["-X", "POST", "-F", f"file=@{file}"]
            adds = {
                "Shoal": lambda: fetched(
                    f"{our_rpc}/api/v0/add?cid-version=1&chunker=size-1048576&pin=false",
                    *form, "-H", f"Authorization: Bearer {token}",
                ),
                "Kubo": lambda: fetched(f"{their_rpc}/api/v0/add?cid-version=1&chunker=size-1048576&pin=false", *form),
            }  # fmt: skip
            row("RPC add, blocks known", rounds_of(adds, options.rounds), "MiB/s", mib, "≥ 3 Kubo")
            if wrk is not None:
                script = folder / "ranges.lua"
                script.write_text(RANGES.format(blocks=size // 4096))
                late: dict[str, list[float]] = {name: [] for name in files}

                def ranges(name: str, url: str) -> float:
                    rate, milliseconds = asked(wrk, script, url)
                    late[name].append(milliseconds)
                    return rate

                jobs = {name: lambda name=name, url=url: ranges(name, url) for name, url in files.items()}
                found = rounds_of(jobs, options.rounds)
                slowest = ", ".join(f"{name} {statistics.median(each):.1f}" for name, each in late.items())
                row("4 KiB ranges, 16 connections", found, "/s", 0, f"≥ 3 Kubo; p99 < 20 ms (here {slowest})")


if __name__ == "__main__":
    main()
