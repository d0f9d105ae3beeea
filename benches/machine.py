"""What a figure depends on besides the code: the processor, how many of its cores are used, and the system.

Names nothing that could tell whose machine it was: no host, no user, no path.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

# Instructions that decide how fast hashes are.
FLAGS = ("sse4_1", "avx2", "avx512f", "avx512vl", "sha_ni", "asimd", "sha2")


@dataclass(frozen=True)
class Machine:
    """Facts of the machine that a run is printed with."""

    processor: str
    flags: tuple[str, ...]
    cores: int
    cores_used: int
    memory_gib: int
    kernel: str
    python: str

    @property
    def has_sha_unit(self) -> bool:
        """Whether the processor computes SHA-256 in hardware, which decides what is a fair goal against others."""
        return "sha_ni" in self.flags or "sha2" in self.flags

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def this_machine() -> Machine:
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    known = (facts.get("flags") or facts.get("Features") or "").split()
    return Machine(
        processor=facts.get("model name", platform.machine()),
        flags=tuple(flag for flag in FLAGS if flag in known),
        cores=os.cpu_count() or 1,
        cores_used=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
    )


def hold_to_cores(count: int) -> None:
    """Holds this process, and all that it starts, to the first `count` of its cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def program(name: str, variable: str) -> str | None:
    """The path of a program: what the environment variable says, or what PATH has."""
    return os.environ.get(variable) or shutil.which(name)
