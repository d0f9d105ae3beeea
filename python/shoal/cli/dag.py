"""`shoal dag`: structured data in and out, and whole DAGs as CAR files.

The one rule: what is printed for a program (dag-json, CAR) is exactly those bytes, with nothing added on a pipe.
"""

from __future__ import annotations

import sys

import click

from shoal import CID, DagStat, Imported, Store, dag_encode
from shoal.cli.block import inputs
from shoal.cli.command import Family, progress_option
from shoal.cli.output import cid_record, columns, human_bytes
from shoal.cli.progress import shown
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import is_piped, standard_input, standard_output


@click.group("dag", cls=Family)
def dag() -> None:
    """Work with structured data and CAR files."""


@dag.command(
    "put",
    examples=[
        """echo '{"title": "sea", "year": 2024}' | shoal dag put""",
        "shoal dag put --store-codec dag-json --hash sha2-256 record.json",
    ],
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option("--store-codec", default="dag-cbor", metavar="NAME", help="How to store it (default: dag-cbor).")
@click.option("--input-codec", default="dag-json", metavar="NAME", help="How the input is written (default: dag-json).")
@click.option("--pin/--no-pin", default=False, help="Pin each object (default: no).")
@click.option("--hash", "hash_name", default="blake3", metavar="NAME", help="Hash function (default: blake3).")
@pass_session
def put(
    session: Session, paths: tuple[str, ...], store_codec: str, input_codec: str, pin: bool, hash_name: str
) -> None:
    """Store the object in each file, or in stdin, and print its CID."""
    store = session.store(read_only=False, create=True)
    for data in inputs(paths, "an object"):
        cid = store.dag.put_bytes(data, input_codec=input_codec, store_codec=store_codec, hash=hash_name)
        if pin:
            store.pins.add(cid)
        session.output.result(cid_record(cid), str(cid))


@dag.command(
    "get",
    examples=[
        """shoal dag get "$(echo '{"title": "sea"}' | shoal dag put)/title\"""",
        'shoal dag get "$(shoal add -Q photos)"      # a directory, as the node it is',
    ],
)
@click.argument("content", metavar="CID[/PATH]")
@click.option("--output-codec", default="dag-json", metavar="NAME", help="How to print it (default: dag-json).")
@pass_session
def get(session: Session, content: str, output_codec: str) -> None:
    """Print an object, or what stands at a path inside it."""
    data = dag_encode(output_codec, session.store().dag.get(content))
    standard_output()
    # On a terminal the prompt should not stick to the object; on a pipe the bytes are the codec's own.
    sys.stdout.buffer.write(data if is_piped(sys.stdout) and not session.json else data + b"\n")
    sys.stdout.buffer.flush()


@dag.command(
    "resolve",
    examples=[
        'shoal dag resolve "$(shoal add -Q photos)/sea.txt"',
        """shoal dag resolve "$(echo '{"a": [1, 2]}' | shoal dag put)/a/1\"""",
    ],
)
@click.argument("content", metavar="CID[/PATH]")
@pass_session
def resolve(session: Session, content: str) -> None:
    """Print the block that a path leads to, and what remains of the path inside it."""
    cid, remainder = session.store().dag.resolve(content)
    session.output.result(cid_record(cid, remainder=remainder), f"{cid}/{remainder}" if remainder else str(cid))


@dag.command(
    "stat", examples=['shoal dag stat "$(shoal add -Q photos)"', 'shoal dag stat --json "$(shoal add -Q photos)"']
)
@click.argument("contents", nargs=-1, required=True, metavar="CID[/PATH]...")
@progress_option()
@pass_session
def stat(session: Session, contents: tuple[str, ...], progress: bool | None) -> None:
    """Count the blocks and bytes of DAGs, each block once, and what several share."""
    store = session.store()
    with shown("counting", session.output, session.progress(progress)) as on_progress:
        stats = [store.dag.stat(content, progress=on_progress) for content in contents]
        blocks, total = (stats[0].blocks, stats[0].bytes) if len(stats) == 1 else _union(store, stats)
    repeated = sum(entry.bytes for entry in stats)
    ratio = repeated / total if total else 1.0
    session.output.result(
        {
            "dags": stats,
            "unique_blocks": blocks,
            "total_bytes": total,
            "shared_bytes": repeated - total,
            "ratio": ratio,
        },
        "",
        *columns(
            [["CID", "Blocks", "Size"], *([str(entry.cid), str(entry.blocks), str(entry.bytes)] for entry in stats)]
        ),
        "",
        "Summary",
        f"Total Size: {total} ({human_bytes(total)})",
        f"Unique Blocks: {blocks}",
        f"Shared Size: {repeated - total} ({human_bytes(repeated - total)})",
        f"Ratio: {ratio:f}",
        "",
    )


def _union(store: Store, stats: list[DagStat]) -> tuple[int, int]:
    """Blocks and bytes of several DAGs together."""
    seen: set[CID] = set()
    for entry in stats:
        seen.add(entry.cid)
        seen.update(target for _, target, _ in store.refs(entry.cid, recursive=True, unique=True))
    return len(seen), sum(store.size(cid) for cid in seen)


@dag.command(
    "export",
    examples=[
        'shoal dag export "$(shoal add -Q photos)" > photos.car',
        'shoal dag export -o photos2.car --car-version 2 "$(shoal add -Q photos)"',
    ],
)
@click.argument("content", metavar="CID[/PATH]")
@click.option("-o", "--output", "target", type=click.Path(), metavar="FILE", help="Write to FILE instead of stdout.")
@click.option("--car-version", type=click.IntRange(1, 2), default=1, help="Version of the CAR format (default: 1).")
@progress_option()
@pass_session
def export(session: Session, content: str, target: str | None, car_version: int, progress: bool | None) -> None:
    """Write a DAG as a CAR file, every block checked, in the order a reader needs them."""
    piped = target in (None, "-")
    if piped and not is_piped(sys.stdout):
        raise click.UsageError("a CAR file is not for a terminal: redirect stdout, or use -o FILE")
    if piped and session.json:
        raise click.UsageError("--json has no room beside the CAR on stdout: use -o FILE")
    store = session.store()
    # Before the first byte goes out: a pipe cannot take a CAR's header back.
    store.size(store.resolve(content)[0])
    with shown("exporting", session.output, session.progress(progress)) as on_progress:
        out = standard_output() if piped else target
        written = store.dag.export_car(content, out, version=car_version, progress=on_progress)
    if not piped:
        session.output.result({"path": target, "bytes": written})


@dag.command(
    "import",
    examples=[
        'shoal dag export "$(shoal add -Q photos)" > photos.car && shoal dag import photos.car',
        'shoal dag export "$(shoal add -Q photos)" | shoal dag import --stats',
        'shoal dag export "$(shoal add -Q photos)" > whole.car && shoal dag import --adopt move whole.car',
    ],
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option("--pin-roots/--no-pin-roots", default=True, help="Pin the roots that each file names (default: yes).")
@click.option(
    "--adopt",
    type=click.Choice(["move", "link"]),
    help=(
        "Copy nothing: make each file, a CAR of version 1 on the store's filesystem, part of the store itself, once every "
        "block in it was checked. move: it leaves its place. link: it stays there too, and must never be written to "
        "again, unless the filesystem can share the bytes of two files (btrfs, XFS), which is then done."
    ),
)
@click.option("--stats", is_flag=True, help="Print how many blocks and bytes were imported.")
@click.option("--silent", is_flag=True, help="Print nothing.")
@progress_option()
@pass_session
def import_(
    session: Session,
    paths: tuple[str, ...],
    pin_roots: bool,
    adopt: str | None,
    stats: bool,
    silent: bool,
    progress: bool | None,
) -> None:
    """Store the blocks of CAR files, each checked against its CID. Without PATH, or with -, read stdin."""
    if not paths and not is_piped(sys.stdin):
        raise click.UsageError("nothing to import: name a CAR file, or pipe one in")
    if adopt and (not paths or "-" in paths):
        raise click.UsageError("only files can be adopted, not stdin: name them, or leave out --adopt")
    store = session.store(read_only=False, create=True)
    done: list[Imported] = []
    with shown("importing", session.output, session.progress(progress)) as on_progress:
        for path in paths or ("-",):
            source = standard_input() if path == "-" else path
            done.append(store.dag.import_car(source, pin_roots=pin_roots, adopt=adopt, progress=on_progress))
    if silent:
        return
    for imported in done:
        pinned = imported.roots if imported.pinned else []
        if imported.adopted == "linked":
            click.echo("the file is part of the store now, under both its names: never write to it", err=True)
        session.output.result(imported, *(f"Pinned root\t{root}\tsuccess" for root in pinned))
    if stats and not session.json:
        blocks, size = sum(imported.blocks for imported in done), sum(imported.bytes for imported in done)
        session.output.line(f"Imported {blocks} blocks ({size} bytes)")
