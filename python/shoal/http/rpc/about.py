"""`id`, `version`, `resolve`, `config`, `config/show`, `commands`, `shutdown`: what this is, and where."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from shoal import __version__
from shoal.http.message import Answer
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import value

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["commands_of", "config", "config_show", "identity", "resolve", "shutdown", "version"]

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def identity(_: Call) -> Answer:
    """Who this is. There are no peers yet, so there is no name among them."""
    return value(
        {"ID": "", "PublicKey": "", "Addresses": None, "AgentVersion": f"shoal/{__version__}", "Protocols": None}
    )


def version(call: Call) -> Answer:
    """The Kubo whose RPC this is; which Shoal serves it stands in `id`."""
    machine = platform.machine().lower()
    return value(
        {
            "Version": call.rules.version,
            "Commit": "",
            "Repo": str(call.store.stat().version),
            "System": f"{_MACHINES.get(machine, machine)}/{platform.system().lower()}",
            "Golang": "",
        }
    )


def resolve(call: Call) -> Answer:
    """The CID that a path leads to."""
    cid, rest = call.store.resolve(call.path(call.argument("name")))
    return value({"Path": f"/ipfs/{cid}" + (f"/{rest}" if rest else "")})


def config(call: Call) -> Answer:
    """One value of what `config/show` shows. Nothing is set here."""
    name = call.argument("key")
    if len(call.arguments) > 1:
        raise CommandError("settings are not changed over the RPC: use `shoal config set`")
    found: Any = _config(call)
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            raise CommandError('failed to get config value: there is no such key: "config/show" shows all')
        found = found[part]
    return value({"Key": name, "Value": found})


def config_show(call: Call) -> Answer:
    """The part of Kubo's settings that means something here."""
    return value(_config(call))


def _config(call: Call) -> dict[str, Any]:
    rules = call.rules
    return {
        "API": {"HTTPHeaders": {}},
        "Addresses": {
            "API": rules.api_address,
            "Announce": [],
            "AppendAnnounce": [],
            "Gateway": rules.gateway_address,
            "NoAnnounce": [],
            "Swarm": [],
        },
        "Bootstrap": [],
        "Datastore": {"StorageMax": str(rules.storage_bytes_max or "")},
        "Identity": {"PeerID": ""},
    }


def commands_of(names: Iterable[str]) -> dict[str, Any]:
    """The tree of verbs, as `commands` answers it."""
    top: dict[str, Any] = {}
    for name in names:
        level = top
        for part in name.split("/"):
            level = level.setdefault(part, {})

    def tree(name: str, below: dict[str, Any]) -> dict[str, Any]:
        return {"Name": name, "Subcommands": [tree(*each) for each in sorted(below.items())], "Options": []}

    return tree("ipfs", top)


def shutdown(call: Call) -> Answer:
    """Ends the server, once this is answered."""
    if call.stop is None:
        raise CommandError("whoever started this server ends it")
    call.stop()
    return Answer(200, {"Content-Type": "text/plain"}, b"")
