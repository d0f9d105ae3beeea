"""`repo/stat`, `repo/gc`, `repo/version`, `repo/verify`: the store as a whole."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from shoal.http.message import Answer
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import records, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.http.rpc.reply import Record

__all__ = ["gc", "stat", "verify", "version"]


def stat(call: Call) -> Answer:
    """What the store holds."""
    about = call.store.stat()
    most = call.rules.storage_bytes_max or shutil.disk_usage(about.path).total
    is_short = call.flag("size-only", "s")
    return value(
        {
            "RepoSize": about.disk_bytes + about.blob_bytes,
            "StorageMax": most,
            "NumObjects": 0 if is_short else about.blocks + about.blobs,
            "RepoPath": "" if is_short else about.path,
            "Version": "" if is_short else f"shoal@{about.version}",
        }
    )


def gc(call: Call) -> Answer:
    """Frees what no pin keeps. The store counts what it frees and does not list it: there are no records."""

    def found() -> Iterator[Record]:
        call.store.gc(progress=call.check)
        yield from ()

    return records(found(), call.limits)


def version(call: Call) -> Answer:
    """The version of the store's format."""
    return value({"Version": str(call.store.stat().version)})


def verify(call: Call) -> Answer:
    """Hashes every block again."""

    def found() -> Iterator[Record]:
        report = call.store.verify(progress=call.check)
        for damage in report.damaged:
            yield {"Msg": f"block {damage.cid} was corrupt ({damage.reason})", "Progress": 0}
        if report.damaged:
            raise CommandError("verify complete, some blocks were corrupt")
        yield {"Msg": "verify complete, all blocks validated.", "Progress": 0}

    return records(found(), call.limits)
