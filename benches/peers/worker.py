"""One job of Shoal in a process of its own, timed inside: neither starting Python nor opening the store is counted.

`python -m benches.peers.worker '{"verb": "add", …}'` prints one JSON object: seconds, what the verb returned, and the
most memory the process had. Threads are the engine's own business (SHOAL_THREADS, and the cores it is held to).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import shoal
from benches.yardstick import seconds, through_a_pipe


def work(order: dict[str, str]) -> dict[str, object]:
    answer: dict[str, object] = {}
    with shoal.Store(order["store"]) as store:
        match order["verb"]:
            case "add" | "only-hash":
                only_hash = order["verb"] == "only-hash"
                started = time.perf_counter()
                added = store.add(Path(order["source"]), profile=order["profile"], only_hash=only_hash, hidden=True)
                answer["seconds"] = time.perf_counter() - started
                answer["cid"] = str(added.cid)
                answer["new_bytes"] = added.new_bytes
            case "get":
                answer["seconds"] = seconds(lambda: store.get(order["cid"], Path(order["target"])))
            case "cat":
                answer["seconds"] = through_a_pipe(lambda out: store.cat(order["cid"], out))
            case verb:
                raise ValueError(f"no verb {verb}")
    answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return answer


if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.argv[1]))))
