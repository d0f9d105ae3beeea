"""The command `shoal`: files in, hashes out, and back again.

One file per command family, over `Store`. Nothing here knows a format: it parses words, calls the store and prints.
The one rule: data and results go to stdout, everything else to stderr, and the exit code tells the truth.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; `arguments` are `sys.argv[1:]` when not given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["--version"]:
            # Answered before click is imported: scripts and prompts ask this often.
            from shoal import __version__

            print(f"shoal {__version__}")
            return 0
        from shoal.cli.app import run

        return run(words)
    except KeyboardInterrupt:
        # Only the imports above can end here; `run` reports what comes later.
        return INTERRUPTED
