"""Lets the tests of this folder import its parts as `sim.…`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
