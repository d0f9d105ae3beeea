"""The table of verbs: what each name under `/api/v0/` is answered by.

The one rule: a verb of Kubo's that is not done here says so; it is never a page that is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.http.rpc import about, add, block, dag, pin, read, repo
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.http.message import Answer

__all__ = ["LATER", "VERBS", "Verb", "later", "route"]


@dataclass(frozen=True)
class Verb:
    """How a name is answered."""

    run: Callable[[Call], Answer]
    is_long: bool = False
    """Whether it may work for minutes before its first byte, so that it must not hold one of the threads that all share."""


def _commands(_: Call) -> Answer:
    return value(about.commands_of(VERBS))


VERBS: dict[str, Verb] = {
    "add": Verb(add.add),
    "block/get": Verb(block.get),
    "block/put": Verb(block.put),
    "block/rm": Verb(block.rm, is_long=True),
    "block/stat": Verb(block.stat),
    "cat": Verb(read.cat),
    "commands": Verb(_commands),
    "config": Verb(about.config),
    "config/show": Verb(about.config_show),
    "dag/export": Verb(dag.export),
    "dag/get": Verb(dag.get),
    "dag/import": Verb(dag.import_),
    "dag/put": Verb(dag.put),
    "dag/resolve": Verb(dag.resolve),
    "dag/stat": Verb(dag.stat, is_long=True),
    "get": Verb(read.get),
    "id": Verb(about.identity),
    "ls": Verb(read.ls),
    "pin/add": Verb(pin.add, is_long=True),
    "pin/ls": Verb(pin.ls, is_long=True),
    "pin/rm": Verb(pin.rm, is_long=True),
    "pin/update": Verb(pin.update, is_long=True),
    "pin/verify": Verb(pin.verify, is_long=True),
    "refs": Verb(read.refs),
    "refs/local": Verb(read.refs_local),
    "repo/gc": Verb(repo.gc, is_long=True),
    "repo/stat": Verb(repo.stat),
    "repo/verify": Verb(repo.verify, is_long=True),
    "repo/version": Verb(repo.version),
    "resolve": Verb(about.resolve),
    "shutdown": Verb(about.shutdown),
    "stats/repo": Verb(repo.stat),
    "version": Verb(about.version),
}

_NODE, _FILES, _NAMES, _NEVER = (
    "it comes with the node",
    "mutable files come with the node",
    "names and keys come with the node",
    "it is not planned",
)
# Families of Kubo's verbs that are not done here, with what is said of them.
LATER: dict[str, str] = {
    "bitswap": _NODE,
    "bootstrap": _NODE,
    "cid": "ask `shoal cid`",
    "config": "settings are changed by `shoal config`",
    "dht": _NODE,
    "diag": _NEVER,
    "files": _FILES,
    "filestore": _NEVER,
    "key": _NAMES,
    "log": _NEVER,
    "mount": _NEVER,
    "multibase": _NEVER,
    "name": _NAMES,
    "object": "removed, use dag instead",
    "p2p": _NEVER,
    "pin": _NEVER,
    "ping": _NODE,
    "provide": _NODE,
    "pubsub": _NEVER,
    "repo": "ask `shoal repo`",
    "routing": _NODE,
    "stats": _NODE,
    "swarm": _NODE,
    "tar": _NEVER,
    "update": _NEVER,
    "urlstore": _NEVER,
    "version": _NEVER,
}


def later(name: str) -> Verb | None:
    """What answers a verb of Kubo's that is not done here; None for what is none of Kubo's."""
    reason = LATER.get(name.partition("/")[0])
    if reason is None:
        return None

    def run(_: Call) -> Answer:
        raise CommandError(f"not implemented: {name[:80]}: {reason}")

    return Verb(run)


def route(names: tuple[str, ...]) -> str:
    """The verb that a path is for, as a word for counting: one of this table's, or "other"."""
    name = "/".join(names[2:])
    if names[:2] == ("api", "v0") and name in VERBS:
        return name
    return names[0] if names in {("healthz",), ("metrics",)} else "other"
