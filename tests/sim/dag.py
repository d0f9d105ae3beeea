"""DAGs of blocks without bytes: a block is its name and its length, and its CID is made of these, as a hash would be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from shoal.exchange.message import Link

if TYPE_CHECKING:
    from random import Random

KIB = 1024


class Painted(NamedTuple):
    """The bytes of a block."""

    name: str
    size: int

    def __len__(self) -> int:
        return self.size


def cid_of(data: Painted) -> str:
    """What hashing would give."""
    return f"{data.name}:{data.size}"


@dataclass
class Dag:
    """Blocks and their links. `tells_sizes`: links say how large what they lead to is."""

    tells_sizes: bool = True
    blocks: dict[str, Painted] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    root: str = ""

    def add(self, name: str, size: int, children: list[str] | None = None) -> str:
        data = Painted(name, size)
        cid = cid_of(data)
        self.blocks[cid] = data
        self.children[cid] = children or []
        self.root = cid
        return cid

    def link(self, cid: str, *, is_here: bool = False) -> Link:
        size = self.blocks[cid].size if self.tells_sizes else None
        return Link(cid, size, is_leaf=not self.children[cid], is_here=is_here)

    @property
    def bytes(self) -> int:
        return sum(len(data) for data in self.blocks.values())

    def reading_order(self) -> list[str]:
        seen: dict[str, None] = {}
        stack = [self.root]
        while stack:
            cid = stack.pop()
            if cid not in seen:
                seen[cid] = None
                stack.extend(reversed(self.children[cid]))
        return list(seen)


def file(size: int, leaf: int = 256 * KIB, width: int = 174, name: str = "file", dag: Dag | None = None) -> Dag:
    """A balanced file."""
    dag = dag or Dag()
    level = [dag.add(f"{name}-{at}", min(leaf, size - at)) for at in range(0, size, leaf)] or [dag.add(name, 0)]
    height = 0
    while len(level) > 1:
        height += 1
        groups = [level[at : at + width] for at in range(0, len(level), width)]
        level = [dag.add(f"{name}/{height}/{i}", 50 * len(group), group) for i, group in enumerate(groups)]
    return dag


def tree(files: int, size: int, *, folders: int = 1) -> Dag:
    """Folders of small files, some of them the same."""
    dag = Dag()
    tops = []
    for folder in range(folders):
        here = [
            dag.add(f"f{(folder * files + i) % max(files * folders * 9 // 10, 1)}", size + i % 7) for i in range(files)
        ]
        tops.append(dag.add(f"folder{folder}", 60 * files, here))
    dag.add("top", 60 * folders + 10, tops)
    return dag


def chain(length: int, size: int) -> Dag:
    """Each block links the next."""
    dag = Dag()
    below: list[str] = []
    for i in range(length):
        below = [dag.add(f"c{i}", size, below)]
    return dag


def lattice(height: int, size: int) -> Dag:
    """Each block links the next twice: as many ways as two to the height."""
    dag = Dag()
    below: list[str] = []
    for i in range(height):
        one = dag.add(f"l{i}", size, [*below, *below])
        below = [one]
    return dag


def drawn(dice: Random) -> Dag:
    """A small DAG of some kind."""
    kind = dice.choice(["file", "file", "file", "tree", "tree", "chain", "lattice", "one"])
    if kind == "file":
        dag = file(dice.randrange(1, 8_000_000), dice.choice([16, 64, 256, 1024]) * KIB, dice.choice([2, 10, 174]))
    elif kind == "tree":
        dag = tree(dice.randrange(1, 60), dice.choice([10, 500, 1020, 5000, 100_000]), folders=dice.randrange(1, 5))
    elif kind == "chain":
        dag = chain(dice.randrange(1, 25), dice.choice([100, 20_000]))
    elif kind == "lattice":
        dag = lattice(dice.randrange(1, 30), dice.choice([100, 20_000]))
    else:
        dag = file(dice.choice([0, 1, KIB, KIB + 1, 2048 * KIB]), 2048 * KIB)
    dag.tells_sizes = dice.random() < 0.7
    return dag
