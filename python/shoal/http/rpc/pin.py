"""`pin/add`, `pin/rm`, `pin/ls`, `pin/update`, `pin/verify`: what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.errors import NotPinned, Pinned, ShoalError
from shoal.http.message import Answer
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import message_of, records, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import CID
    from shoal.http.rpc.reply import Record
    from shoal.results import Pin

__all__ = ["add", "ls", "rm", "update", "verify"]

_NOT_PINNED = "not pinned or pinned indirectly"


def add(call: Call) -> Answer:
    """Keeps what paths lead to."""
    recursive, name = call.flag("recursive", "r", default=True), call.text("name", "n") or None
    paths = [call.path(text) for text in call.all_arguments("ipfs-path")]

    def pinned() -> Record:
        try:
            return {"Pins": [str(call.store.pins.add(path, recursive=recursive, name=name)) for path in paths]}
        except Pinned as error:
            raise CommandError(f"pin: {error.cid} already pinned recursively") from None
        except ShoalError as error:
            raise CommandError(f"pin: {message_of(error, call.store)}") from None

    if not call.flag("progress"):
        return value(pinned())

    def found() -> Iterator[Record]:
        done = pinned()
        stats = [call.store.dag.stat(cid, progress=call.check) for cid in done["Pins"]] if recursive else []
        yield {"Progress": sum(stat.blocks for stat in stats), "Bytes": sum(stat.bytes for stat in stats)}
        yield done

    return records(found(), call.limits)


def rm(call: Call) -> Answer:
    """Lets go of pins."""
    recursive = call.flag("recursive", "r", default=True)
    cids = [_cid(call, text) for text in call.all_arguments("ipfs-path")]
    for cid in cids:
        held = call.store.pins.ls(cid=cid)
        if held and held[0].kind == "recursive" and not recursive:
            raise CommandError(f"{cid} is pinned recursively")
        try:
            call.store.pins.rm(cid)
        except NotPinned:
            raise CommandError(_NOT_PINNED) from None
    return value({"Pins": [str(cid) for cid in cids]})


def ls(call: Call) -> Answer:
    """The pins: all in one value, or with `stream` one a record."""
    kind = call.text("type", "t", default="all")
    if kind not in {"direct", "indirect", "recursive", "all"}:
        raise CommandError(f"invalid type '{kind[:80]}', must be one of {{direct, indirect, recursive, all}}")
    name = call.text("name", "n") or None
    names = call.flag("names") or name is not None
    if call.arguments:
        pins = [pin for text in call.arguments for pin in _pins_of(call, text, kind)]
    else:
        pins = call.store.pins.ls(kind=kind, name=name)
    if call.flag("stream", "s"):
        return records((_row(pin, names) for pin in pins), call.limits)
    return value(
        {"Keys": {str(pin.cid): {"Type": pin.kind, "Name": (pin.name or "") if names else ""} for pin in pins}}
    )


def _pins_of(call: Call, text: str, kind: str) -> list[Pin]:
    cid = _cid(call, text)
    if pins := call.store.pins.ls(cid=cid, kind=kind):
        return pins[:1]
    if kind == "all":
        raise CommandError(f"path '{text[:80]}' is not pinned")
    raise CommandError(f"path '{text[:80]}' is not pinned as {kind}")


def _row(pin: Pin, names: bool) -> Record:
    row: Record = {"Cid": str(pin.cid), "Type": pin.kind}
    return row | {"Name": pin.name} if names and pin.name else row


def update(call: Call) -> Answer:
    """Moves a recursive pin from one root to another."""
    texts = call.all_arguments("from-path")
    if len(texts) != 2:
        raise CommandError("two paths are required: the pinned one, and the one to pin", status=400, code=1)
    old, new = (_cid(call, text) for text in texts)
    held = call.store.pins.ls(cid=old, kind="recursive")
    if not held:
        raise CommandError("'from' cid was not recursively pinned already")
    if old != new:
        if call.store.pins.ls(cid=new, kind="recursive"):
            raise CommandError("'to' cid was already recursively pinned")
        call.store.pins.add(new, name=held[0].name)
        if call.flag("unpin", default=True):
            call.store.pins.rm(old)
    return value({"Pins": [str(old), str(new)]})


def verify(call: Call) -> Answer:
    """Hashes every block again, and says which pins are whole: the hurt ones, or with `verbose` all."""
    verbose, quiet = call.flag("verbose"), call.flag("quiet", "q")
    if verbose and quiet:
        raise CommandError("the --verbose and --quiet options can not be used at the same time")

    def found() -> Iterator[Record]:
        report = call.store.verify(progress=call.check)
        hurt = set(report.roots)
        for pin in call.store.pins.ls(kind="recursive"):
            if pin.cid in hurt:
                bad = [
                    {"Cid": str(each.cid), "Err": "block is not here" if each.missing else "block is damaged"}
                    for each in report.paths
                    if each.root == pin.cid
                ]
                yield {"Cid": str(pin.cid), "Ok": False, "BadNodes": bad}
            elif verbose:
                yield {"Cid": str(pin.cid), "Ok": True}

    return records(found(), call.limits)


def _cid(call: Call, text: str) -> CID:
    path = call.path(text)
    return call.store.resolve(path)[0] if path.names else path.root
