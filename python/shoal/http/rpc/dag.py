"""`dag/put`, `dag/get`, `dag/resolve`, `dag/stat`, `dag/export`, `dag/import`: objects with links, and DAGs as wholes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from shoal import CID, dag_encode
from shoal.errors import InvalidInput, ShoalError
from shoal.http import car
from shoal.http.body import BufferBody
from shoal.http.message import Answer, Refusal
from shoal.http.negotiate import CarForm
from shoal.http.rpc.block import hash_named
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import Pushed, message_of, records, stream, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal import Path
    from shoal.http.rpc.reply import Emit, Record

__all__ = ["export", "get", "import_", "put", "resolve", "stat"]

_CODECS = ("dag-json", "dag-cbor", "dag-pb", "raw", "json", "cbor")


def put(call: Call) -> Answer:
    """Stores each file of the body as an object, perhaps in another codec."""
    input_codec = call.text("input-codec", default="dag-json", known=_CODECS)
    store_codec = call.text("store-codec", default="dag-cbor", known=_CODECS)
    digest = hash_named(call, "hash")
    pins = call.flag("pin")

    def work(emit: Emit) -> None:
        has_parts = False
        for part in call.parts():
            has_parts = True
            data = part.read(call.limits.block_bytes_max, "an object")
            cid = call.store.dag.put_bytes(data, input_codec=input_codec, store_codec=store_codec, hash=digest)
            if pins:
                call.store.pins.add(cid)
            emit({"Cid": _link(cid)})
        if not has_parts:
            raise Refusal(400, "file argument 'object data' is required")

    return Answer(200, {"Content-Type": "application/json", "X-Chunked-Output": "1"}, Pushed(work))


def get(call: Call) -> Answer:
    """The object that a path leads to, in a codec."""
    found = call.store.dag.get(call.path(call.argument("ref")))
    codec = call.text("output-codec", default="dag-json", known=_CODECS)
    try:
        data = dag_encode(codec, found)
    except (InvalidInput, TypeError) as error:
        raise CommandError(f"this object cannot be written as {codec}: {error}") from None
    return stream(BufferBody(iter((data,))), "text/plain")


def resolve(call: Call) -> Answer:
    """The last block on a path, and what is left of the path."""
    cid, rest = call.store.dag.resolve(call.path(call.argument("ref")))
    return value({"Cid": _link(cid), "RemPath": f"/{rest}" if rest else ""})


def stat(call: Call) -> Answer:
    """How large DAGs are, and what they share."""
    paths = [call.path(text) for text in call.all_arguments("root")]
    roots = [_block_at(call, path) for path in paths]

    def found() -> Iterator[Record]:
        each = [call.store.dag.stat(root, progress=call.check) for root in roots]
        blocks, size = (each[0].blocks, each[0].bytes) if len(each) == 1 else _together(call, roots)
        apart = sum(one.bytes for one in each)
        yield {
            "UniqueBlocks": blocks,
            "TotalSize": size,
            "SharedSize": apart - size,
            "Ratio": _go_float(apart / size) if size else 1,
            "DagStats": [{"Cid": str(one.cid), "Size": one.bytes, "NumBlocks": one.blocks} for one in each],
        }

    return records(found(), call.limits)


def _together(call: Call, roots: list[CID]) -> tuple[int, int]:
    """Blocks and bytes of several DAGs, each block counted once."""
    seen: set[bytes] = set()
    size = 0
    for root in roots:
        for cid in (root, *(target for _, target, _ in call.store.refs(root, recursive=True, unique=True))):
            call.check()
            key = bytes(cid)
            if key not in seen:
                if len(seen) >= call.limits.car_seen_max:
                    raise CommandError("together these have too many blocks to compare: ask for one at a time")
                seen.add(key)
                size += call.store.size(cid)
    return len(seen), size


def export(call: Call) -> Answer:
    """A DAG as a CAR."""
    root = _block_at(call, call.path(call.argument("root")))
    # What is not here is said now; later the answer could only be cut.
    call.store.get_block(root)
    buffers = car.car_buffers(call.store, [], root, CarForm(), call.limits)
    return stream(BufferBody(buffers), "application/vnd.ipld.car")


def import_(call: Call) -> Answer:
    """Takes in the CARs of the body, each whole or not at all, and pins their roots."""
    pins, tells = call.flag("pin-roots", default=True), call.flag("stats")

    def work(emit: Emit) -> None:
        roots: dict[CID, None] = {}
        blocks = size = 0
        has_parts = False
        for part in call.parts():
            has_parts = True
            # Not pinned there: one root of which something is missing would then refuse all of them.
            report = call.store.dag.import_car(part.pieces, pin_roots=False, progress=call.check)  # type: ignore[arg-type]
            roots.update(dict.fromkeys(report.roots))
            blocks, size = blocks + report.blocks, size + report.bytes
        if not has_parts:
            raise Refusal(400, "file argument 'path' is required")
        failed = 0
        for root in roots if pins else ():
            problem = _pinned(call, root)
            failed += bool(problem)
            emit({"Root": {"Cid": _link(root), "PinErrorMsg": problem}})
        if tells:
            emit({"Stats": {"BlockCount": blocks, "BlockBytesCount": size}})
        if failed:
            raise CommandError("pinning root failed: see PinErrorMsg of each")

    return Answer(200, {"Content-Type": "application/json", "X-Chunked-Output": "1"}, Pushed(work))


def _pinned(call: Call, root: CID) -> str:
    """Pins a root: what went wrong, or nothing."""
    try:
        call.store.pins.add(root)
    except ShoalError as error:
        return message_of(error, call.store)
    return ""


def _block_at(call: Call, path: Path) -> CID:
    cid, rest = call.store.dag.resolve(path)
    if rest:
        raise CommandError("the path ends inside a block: leave out the names within it")
    return cid


def _go_float(number: float) -> float | int:
    """As Go writes a float32: the fewest digits that mean it."""
    if number.is_integer():
        return int(number)
    single = struct.pack("<f", number)
    return next(
        (short for digits in range(1, 10) if struct.pack("<f", short := float(f"{number:.{digits}g}")) == single),
        number,
    )


def _link(cid: CID) -> dict[str, Any]:
    return {"/": str(cid)}
