"""`block/put`, `block/get`, `block/stat`, `block/rm`: blocks one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal import CID
from shoal.errors import InvalidInput, Pinned, ShoalError
from shoal.http.body import BufferBody
from shoal.http.message import Answer, Refusal
from shoal.http.rpc.call import Call, CommandError
from shoal.http.rpc.reply import Pushed, message_of, records, stream, value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.http.rpc.reply import Emit, Record

__all__ = ["get", "hash_named", "put", "rm", "stat"]

# Kubo's older names of codecs.
_FORMATS = {"v0": "dag-pb", "protobuf": "dag-pb", "cbor": "dag-cbor", "json": "dag-json", "raw": "raw"}
_HASHES = ("sha2-256", "sha2-512", "blake3")
_LENGTHS = {"sha2-256": 32, "sha2-512": 64, "blake3": 32}


def hash_named(call: Call, option: str) -> str:
    """The hash that an option names."""
    name = call.text(option, default="sha2-256").lower()
    if name not in _HASHES:
        raise CommandError(f"unrecognized hash function: known are {', '.join(_HASHES)}")
    return name


def put(call: Call) -> Answer:
    """Stores each file of the body as one block."""
    form = call.text("format", "f")
    if form and form not in _FORMATS:
        raise CommandError(f"unrecognized format: known are {', '.join(_FORMATS)}")
    codec = call.text("cid-codec", default=_FORMATS.get(form, "raw"))
    digest = hash_named(call, "mhtype")
    if call.integer("mhlen", default=-1, least=-1, most=128) not in {-1, _LENGTHS[digest]}:
        raise CommandError("mhlen is the hash's own length: leave it out")
    if form == "v0" and digest != "sha2-256":
        raise CommandError("CIDv0 only supports sha2-256")
    pins = call.flag("pin")

    def work(emit: Emit) -> None:
        has_parts = False
        for part in call.parts():
            has_parts = True
            data = part.read(call.limits.block_bytes_max, "a block")
            try:
                cid = CID.of(data, codec=codec, hash=digest)
            except InvalidInput as error:
                raise CommandError(str(error)) from None
            cid = call.store.put(data, cid=cid.to_v0() if form == "v0" else cid)
            if pins:
                # With all below it, as Kubo does; the store's own `put` would pin the block alone.
                call.store.pins.add(cid)
            emit({"Key": str(cid), "Size": len(data)})
        if not has_parts:
            raise Refusal(400, "file argument 'data' is required")

    return Answer(200, {"Content-Type": "application/json", "X-Chunked-Output": "1"}, Pushed(work))


def get(call: Call) -> Answer:
    """A block's bytes."""
    cid, _ = call.store.resolve(call.path(call.argument("cid")))
    block = call.store.get_block(cid)
    return stream(BufferBody(iter((memoryview(block),))), "application/vnd.ipld.raw")


def stat(call: Call) -> Answer:
    """How large a block is."""
    cid, _ = call.store.resolve(call.path(call.argument("cid")))
    return value({"Key": str(cid), "Size": call.store.size(cid)})


def rm(call: Call) -> Answer:
    """Deletes blocks. What cannot be deleted is a record with an error."""
    cids = [call.path(text).root for text in call.all_arguments("cid")]
    force, quiet = call.flag("force", "f"), call.flag("quiet", "q")

    def found() -> Iterator[Record]:
        for cid in cids:
            record: Record = {"Hash": str(cid)}
            try:
                if not call.store.delete(cid) and not force:
                    record["Error"] = f"ipld: could not find {cid}"
            except Pinned:
                pins = call.store.pins.ls(cid=cid)
                record["Error"] = f"pinned: {pins[0].kind}" if pins else "pinned: indirect"
            except ShoalError as error:
                record["Error"] = message_of(error, call.store)
            if not quiet or "Error" in record:
                yield record

    return records(found(), call.limits)
