"""Prints what happens in the world of a seed: `python tests/sim/trace.py SEED…`, or with `--hash` only the hash of it."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from sim.scenario import Scenario

    for seed in (argument for argument in sys.argv[1:] if argument != "--hash"):
        scenario = Scenario(int(seed))
        if "--hash" not in sys.argv:
            print(scenario.options)
            scenario.world.lines = []
        scenario.run()
        print(scenario.world.trace if scenario.world.lines is None else "".join(scenario.world.lines))
