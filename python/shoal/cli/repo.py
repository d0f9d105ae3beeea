"""`shoal repo`, `shoal gc`, `shoal verify`: the store as a whole.

The one rule: a store that does not verify ends the command with exit code 5, whatever else was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoal.cli.command import Family, byte_count, command, progress_option
from shoal.cli.ending import DAMAGED, OK
from shoal.cli.output import columns, human_bytes, printable
from shoal.cli.progress import shown
from shoal.cli.reference import references
from shoal.cli.session import Session, pass_session
from shoal.errors import NotFound

if TYPE_CHECKING:
    from shoal import Damage, HurtPath, StoreStat, VerifyReport


@click.group("repo", cls=Family)
def repo() -> None:
    """Look at the store as a whole."""


@repo.command("stat", examples=["shoal repo stat --human", "shoal repo stat --json"])
@click.option("-H", "--human", is_flag=True, help="Print sizes as 1.2 GB.")
@click.option("-s", "--size-only", is_flag=True, help="Print only the size.")
@pass_session
def stat(session: Session, human: bool, size_only: bool) -> None:
    """Print how much the store holds and what it takes on disk."""
    found = session.store().stat()
    session.output.result(found, *columns(_stat_rows(found, human=human, size_only=size_only)))


def _stat_rows(found: StoreStat, *, human: bool, size_only: bool) -> list[list[str]]:
    def size(count: int) -> str:
        return human_bytes(count) if human else str(count)

    if size_only:
        return [["RepoSize:", size(found.disk_bytes + found.blob_bytes)]]
    return [
        ["NumObjects:", str(found.blocks)],
        ["ObjectSize:", size(found.bytes)],
        ["RepoSize:", size(found.disk_bytes + found.blob_bytes)],
        ["DeadSize:", size(found.dead_bytes)],
        ["NumPacks:", str(found.packs)],
        ["NumBlobs:", str(found.blobs)],
        ["BlobSize:", size(found.blob_bytes)],
        ["NumReferences:", str(found.references)],
        ["ReferenceSize:", size(found.reference_bytes)],
        ["NumPins:", str(found.pins)],
        ["RepoPath:", printable(found.path)],
        ["Version:", f"shoal-store@{found.version}"],
    ]


def _existing(session: Session) -> str:
    """The store's folder. Not opened: it may be of another version."""
    if not session.has_store:
        raise NotFound(f"there is no store at {session.settings.folder}: 'shoal add' makes one, --store names another")
    return str(session.settings.folder)


@repo.command("version", examples=["shoal repo version", "shoal repo version --json"])
@pass_session
def version(session: Session) -> None:
    """Print the version of the store's format.

    Also of a store that is too new to be opened.
    """
    from shoal import store_version

    found = store_version(_existing(session))
    session.output.result(found, f"shoal-store@{found.found}")


@repo.command("migrate", examples=["shoal repo migrate --dry-run     # what would be done", "shoal repo migrate"])
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@pass_session
def migrate(session: Session, dry_run: bool) -> None:
    """Bring the store to the version that this program works with.

    One that was cut short is taken up by the next. Back up the store first: older programs cannot open it afterwards.
    """
    from shoal import migrate

    done = migrate(_existing(session), dry_run=dry_run)
    lines = [printable(step) for step in done.steps]
    if done.from_version == done.to_version:
        lines.append(f"nothing to do: the store has version {done.to_version}, which this program works with")
    else:
        verb = "would migrate" if dry_run else "migrated"
        lines.append(f"{verb} from version {done.from_version} to {done.to_version}")
    session.output.result(done, *lines)


@command("gc", examples=["shoal gc --dry-run     # what would go", "shoal gc"])
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@progress_option()
@pass_session
def gc(session: Session, dry_run: bool, quiet: bool, progress: bool | None) -> None:
    """Remove every block that no pin keeps, and give its room back."""
    store = session.store(read_only=False)
    with shown("collecting", session.output, session.progress(progress)) as on_progress:
        done = store.gc(dry_run=dry_run, progress=on_progress)
    if quiet and not session.json:
        return
    verb = "would remove" if dry_run else "removed"
    dropped = []
    if done.references_dropped:
        forget = "would forget" if dry_run else "forgot"
        dropped.append(f"{forget} where {done.references_dropped} blocks are in files outside")
    session.output.result(
        done,
        f"{verb} {done.blocks} blocks ({human_bytes(done.bytes)}), "
        f"kept {done.kept_blocks} ({human_bytes(done.kept_bytes)})",
        *dropped,
    )


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    rate = byte_count(context, option, value.removesuffix("/s"))
    if rate < 1:
        message = "at least one byte per second, as in 50MB/s or 20MiB"
        raise click.BadParameter(message)
    return rate


@command(
    "verify",
    examples=[
        "shoal verify",
        "shoal verify --rate 50MB/s --resume verify.state   # beside other work, over several nights",
        'shoal dag export "$(shoal add -Q photos)" > photos.car && shoal verify --repair photos.car   # or a store',
    ],
)
@click.option("--rate", callback=_rate, metavar="BYTES/s", help="Read no faster than this: 50MB/s, 20MiB.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False),
    help="Note in this file what is sound, and go on from it after a run that was stopped. Goes when all is done.",
)
@click.option(
    "--repair",
    "repair_from",
    metavar="FROM",
    type=click.Path(exists=True),
    help="Bring back what is damaged or missing from another store, or from a CAR file.",
)
@progress_option()
@pass_session
def verify(
    session: Session, rate: int | None, resume: str | None, repair_from: str | None, progress: bool | None
) -> int:
    """Hash every block again and say what is damaged.

    Also says which pinned DAGs, and which files in them, that hurts. With --repair, takes what is lost from elsewhere, each block
    checked against its CID. Ends with exit code 5 when there is damage left.
    """
    store = session.store(read_only=repair_from is None)
    with shown("verifying", session.output, session.progress(progress)) as on_progress:
        report = store.verify(bytes_per_second=rate, resume=resume, repair_from=repair_from, progress=on_progress)
    session.output.result({"ok": report.ok, **_record(report)}, *_report_lines(report))
    return OK if report.ok else DAMAGED


def _record(report: VerifyReport) -> dict[str, object]:
    return {
        "blocks": report.blocks,
        "bytes": report.bytes,
        "damaged": report.damaged,
        "missing": report.missing,
        "roots": report.roots,
        "paths": report.paths,
        "paths_count": report.paths_count,
        "resumed": report.resumed,
        "repaired": report.repaired,
        "repaired_bytes": report.repaired_bytes,
    }


def _place(entry: Damage) -> str:
    if entry.path is not None:
        return f"in {printable(entry.path)} at {entry.offset}"
    return f"at {entry.offset}" if entry.pack is None else f"in pack {entry.pack} at {entry.offset}"


def _way(entry: HurtPath) -> str:
    name = f"{entry.root}/{printable(entry.path)}" if entry.path else str(entry.root)
    place = "" if entry.offset is None else f" at byte {entry.offset}"
    return f"hurt {name}{place}: {entry.cid} is {'missing' if entry.missing else 'damaged'}"


def _report_lines(report: VerifyReport) -> list[str]:
    lines = [
        f"damaged {entry.cid or '(no readable CID)'} {_place(entry)}: {printable(entry.reason)}"
        for entry in report.damaged
    ]
    lines += [f"missing {cid}" for cid in report.missing]
    lines += [f"hurt {cid}" for cid in report.roots]
    lines += [_way(entry) for entry in report.paths if entry.path or entry.offset is not None]
    if report.paths_count > len(report.paths):
        lines.append(f"and {report.paths_count - len(report.paths)} more lost blocks")
    if report.repaired:
        lines.append(f"repaired {report.repaired} blocks ({human_bytes(report.repaired_bytes)})")
    found = f"{report.blocks} blocks ({human_bytes(report.bytes)})"
    if report.ok:
        return [*lines, f"verify complete, all blocks validated: {found}"]
    return [*lines, f"verify found damage: {len(report.damaged)} damaged and {len(report.missing)} missing of {found}"]


repo.add_command(gc)
repo.add_command(verify)
repo.add_command(references)
