"""`shoal add`: files, directories and stdin become DAGs in the store, and their CIDs are printed.

Kubo's flags and lines. Not here: how a file is cut, linked and hashed; that is the profile's and the store's.
The one rule: the flags decide a `Profile` in `profile_of`, a pure function, and nothing else decides CIDs.
"""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from shoal import Profile
from shoal.cli.command import command, progress_option
from shoal.cli.output import plain, printable
from shoal.cli.progress import shown
from shoal.cli.session import Session, pass_session
from shoal.cli.stream import is_piped, standard_input
from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from shoal import Added
    from shoal.cli.output import Output

_INLINE_BYTES_DEFAULT = 32
# An identity CID carries its block; 128 bytes is the most that other implementations accept.
_INLINE_BYTES_MAX = 128
# The flags that `profile_of` takes.
_SHAPE_FLAGS = (
    "cid_version", "hash_name", "chunker", "raw_leaves", "layout", "trickle", "inline", "inline_limit",
    "max_file_links", "max_directory_links", "max_hamt_fanout",
)  # fmt: skip


def profile_of(
    base: Profile,
    *,
    cid_version: int | None = None,
    hash_name: str | None = None,
    chunker: str | None = None,
    raw_leaves: bool | None = None,
    layout: str | None = None,
    trickle: bool = False,
    inline: bool = False,
    inline_limit: int | None = None,
    max_file_links: int | None = None,
    max_directory_links: int | None = None,
    max_hamt_fanout: int | None = None,
    keeps_metadata: bool = False,
) -> Profile:
    """The profile that `ipfs add` would mean by these flags over `base`; click.UsageError where they contradict.

    Implied, as with Kubo: another hash than SHA-256 makes CIDs version 1; naming version 1 makes leaves raw, unless the
    flags say so themselves; kept modes and times need dag-pb leaves.
    """
    changes: dict[str, Any] = {}
    hash_used = hash_name.lower() if hash_name is not None else base.hash
    version = base.cid_version if cid_version is None else cid_version
    if hash_used != "sha2-256" and version == 0:
        if cid_version == 0:
            raise click.UsageError(
                f"CID version 0 knows only sha2-256, not {printable(hash_used)}: add --hash sha2-256, or use version 1"
            )
        version = 1
    if hash_name is not None:
        changes["hash"] = hash_used
    if version != base.cid_version:
        changes["cid_version"] = version
    if keeps_metadata:
        if raw_leaves:
            raise click.UsageError("raw leaves cannot carry a mode or a time: leave out --raw-leaves")
        raw_leaves = False
    elif raw_leaves is None and version == 1 and (cid_version is not None or version != base.cid_version):
        raw_leaves = True
    if raw_leaves is not None:
        changes["raw_leaves"] = raw_leaves
    if inline_limit is not None and not inline:
        raise click.UsageError("--inline-limit does nothing without --inline")
    if inline:
        changes["inline_bytes_max"] = _INLINE_BYTES_DEFAULT if inline_limit is None else inline_limit
    if trickle and layout not in (None, "trickle"):
        raise click.UsageError(f"--trickle is --layout trickle, and you also said --layout {layout}: leave one out")
    if trickle or layout is not None:
        changes["layout"] = "trickle" if trickle else layout
    if layout == "blob" and keeps_metadata:
        raise click.UsageError("a blob is nothing but its bytes: leave out the modes and times, or --layout blob")
    given = {
        "chunker": chunker,
        "file_links_max": max_file_links,
        "directory_links_max": max_directory_links,
        "hamt_fanout": max_hamt_fanout,
    }
    changes |= {name: value for name, value in given.items() if value is not None}
    changes = {name: value for name, value in changes.items() if value != getattr(base, name)}
    if not changes:
        return base
    try:
        return base.replace(**changes)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None


def _mode(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise click.BadParameter("a mode is three or four octal digits, such as 0644", param=parameter)
    return mode


@command(
    "add",
    examples=[
        "shoal add photos                                    # a directory, with everything below it",
        "shoal add -Q --profile unixfs-v1-2025 notes.txt     # only the CID, the same as from ipfs",
        "echo hello | shoal add --stdin-name greeting.txt    # from a pipe",
        "shoal add --nocopy photos                           # leaves the files where they are, and copies none",
        "shoal add --layout blob photos/sea.txt              # one CID for the whole file, whatever its size",
    ],
)
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option(
    "-r",
    "--recursive",
    is_flag=True,
    expose_value=False,
    help="Accepted for ipfs users: directories are always added whole.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only CIDs.")
@click.option("-Q", "--quieter", is_flag=True, help="Print only the last root's CID.")
@click.option("--silent", is_flag=True, help="Print nothing.")
@progress_option()
@click.option("-n", "--only-hash", is_flag=True, help="Compute the CID and store nothing.")
@click.option(
    "--nocopy",
    is_flag=True,
    help="Leave the files where they are and keep only where in them each block is.",
)
@click.option(
    "-w",
    "--wrap-with-directory",
    "wrap",
    is_flag=True,
    help="Put everything into one directory, so that names are kept.",
)
@click.option("--pin/--no-pin", default=None, help="Keep what is added safe from gc (default: yes).")
@click.option("--pin-name", help="A name for the pin.")
@click.option("--stdin-name", help="File name for what is read from stdin.")
@click.option("-H", "--hidden", is_flag=True, help="Include files whose names begin with a dot.")
@click.option(
    "--ignore", multiple=True, metavar="RULE", help="Leave out what matches this .gitignore rule. Repeatable."
)
@click.option(
    "--ignore-rules-path",
    "ignore_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Leave out what matches the .gitignore rules in FILE.",
)
@click.option("-E", "--empty-dirs/--no-empty-dirs", default=True, help="Include empty directories (default: yes).")
@click.option("--dereference-symlinks", is_flag=True, help="Add what symbolic links point to, not the links.")
@click.option("--preserve-mode", is_flag=True, help="Record each file's permissions.")
@click.option("--preserve-mtime", is_flag=True, help="Record each file's modification time.")
@click.option("--mode", callback=_mode, metavar="OCTAL", help="Record these permissions instead.")
@click.option(
    "--mtime", type=int, metavar="SECONDS", help="Record this modification time instead, in seconds since 1970."
)
@click.option("--mtime-nsecs", type=click.IntRange(0, 999_999_999), metavar="N", help="Nanoseconds to go with --mtime.")
@click.option(
    "--profile",
    metavar="NAME",
    help="Named rules: blake3 (default), blake3-cdc (for versions of large files: stores only what changed), "
    "unixfs-v1-2025, unixfs-v0-2015.",
)
@click.option(
    "-s",
    "--chunker",
    metavar="RULE",
    help="Where to cut: size-N, or where the content says: mincdc-MIN-MAX, fastcdc-MIN-AVG-MAX, "
    "rabin-MIN-AVG-MAX or buzhash, in bytes.",
)
@click.option(
    "--hash",
    "hash_name",
    metavar="NAME",
    help="Hash function: blake3, sha2-256, sha2-512. Others than sha2-256 imply CID version 1.",
)
@click.option("--cid-version", type=click.IntRange(0, 1), help="Version 1 implies raw leaves, version 0 dag-pb leaves.")
@click.option("--raw-leaves/--no-raw-leaves", default=None, help="Leaves are plain bytes, or dag-pb nodes.")
@click.option(
    "--layout",
    type=click.Choice(["balanced", "trickle", "blob"]),
    help="How a file's chunks are linked: balanced (default), trickle (as -t), or not at all: as a blob, a file of any "
    "size is one CID, the same hash as b3sum gives.",
)
@click.option("-t", "--trickle", is_flag=True, help="Link chunks for streaming: the front of a file near its root.")
@click.option("--inline", is_flag=True, help="Put small blocks into their CIDs.")
@click.option(
    "--inline-limit",
    type=click.IntRange(1, _INLINE_BYTES_MAX),
    metavar="N",
    help="Largest block to inline, up to 128 bytes (default: 32).",
)
@click.option("--max-file-links", type=click.IntRange(min=2), metavar="N", help="Most links of a file node.")
@click.option(
    "--max-directory-links",
    type=click.IntRange(min=0),
    metavar="N",
    help="Most entries of a directory before it is sharded.",
)
@click.option(
    "--max-hamt-fanout",
    type=int,
    metavar="N",
    help="Children of a sharded directory's node: a power of two from 8 to 1024.",
)
@click.option("--to-json", is_flag=True, help="The same as --json.")
@pass_session
def add(
    session: Session,
    /,
    paths: tuple[str, ...],
    *,
    quiet: bool,
    quieter: bool,
    silent: bool,
    progress: bool | None,
    profile: str | None,
    pin: bool | None,
    mtime_nsecs: int | None,
    to_json: bool,
    **flags: Any,
) -> None:
    """Add files and directories, and print their CIDs.

    PATH may be - for stdin, which is also read when no PATH is given and something is piped in.
    Adding the same bytes again stores nothing and gives the same CID.
    """
    session.json |= to_json
    if mtime_nsecs is not None:
        if flags["mtime"] is None:
            raise click.UsageError("--mtime-nsecs does nothing without --mtime")
        flags["mtime"] += Fraction(mtime_nsecs, 1_000_000_000)
    if flags["pin_name"] is not None and (pin is False or flags["only_hash"]):
        raise click.UsageError("--pin-name names a pin, and nothing would be pinned: leave it out")
    if flags["nocopy"] and flags["only_hash"]:
        raise click.UsageError("--only-hash stores nothing, so there is nothing to leave in place: leave out --nocopy")
    metadata = any(flags[name] not in (None, False) for name in ("preserve_mode", "preserve_mtime", "mode", "mtime"))
    base = _named(profile or session.settings.text("add.profile"), flag=profile is not None)
    chosen = profile_of(base, keeps_metadata=metadata, **{name: flags.pop(name) for name in _SHAPE_FLAGS})
    pinned = not flags["only_hash"] and bool(session.settings["add.pin"] if pin is None else pin)
    with shown("adding", session.output, session.progress(progress)) as on_progress:
        printer = _Printer(session.output, quiet=quiet, wrap=flags["wrap"])
        hear = None if quieter or silent else printer
        options = flags | {"profile": chosen, "pin": pinned, "on_entry": hear, "progress": on_progress}
        root = _added(session, _sources(paths), options)
        printer.finish(root)
    if quieter and not silent:
        session.output.result(root, str(root.cid))


def _sources(paths: tuple[str, ...]) -> tuple[str, ...]:
    """What to add, stdin being `-`; click.UsageError where there is nothing, or more than one call can take."""
    if not paths:
        if not is_piped(sys.stdin):
            raise click.UsageError("nothing to add: name a file or a directory, or pipe something in")
        return ("-",)
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("stdin (-) can only be added alone: add the other paths by themselves")
    return paths


def _added(session: Session, paths: tuple[str, ...], options: dict[str, Any]) -> Added:
    """The last root added. Each way is one call, so one commit: all is kept or nothing."""
    # Hashing alone needs no writer's place, but it needs a store.
    store = session.store(read_only=options["only_hash"] and session.has_store, create=True)
    stdin_name = options.pop("stdin_name")
    if paths == ("-",):
        return store.add(standard_input(), name=stdin_name, **options)
    # The shell has expanded ~ already; a path that begins with one now is the name of a file.
    paths = tuple(f"./{path}" if path.startswith("~") else path for path in paths)
    if len(paths) == 1:
        return store.add(paths[0], **options)
    # In the order of their names, as `ipfs add` takes them.
    return store.add_many(
        sorted(paths, key=lambda path: os.fsencode(os.path.basename(os.path.normpath(path)))), **options
    )[-1]


def _named(name: str, *, flag: bool) -> Profile:
    try:
        return Profile.named(name)
    except InvalidInput as error:
        if flag:
            raise click.UsageError(str(error)) from None
        raise


class _Printer:
    """Prints each file as it is finished, and the directories after all files of their path, as `ipfs` does.

    In JSON the last line waits for the end of the call: only then is it known how much was new.
    """

    def __init__(self, output: Output, *, quiet: bool, wrap: bool) -> None:
        self._output = output
        self._quiet = quiet
        self._wrap = wrap
        self._directories: list[Added] = []
        self._waiting: Added | None = None

    def __call__(self, entry: Added) -> None:
        if entry.kind != "directory":
            self._print(entry)
            return
        self._directories.append(entry)
        if not self._wrap and "/" not in entry.name:
            self._print_directories()

    def finish(self, root: Added) -> None:
        """Prints what waited, with the totals of the whole call."""
        self._print_directories()
        if self._waiting is not None:
            self._print_json(self._waiting, root)

    def _print_directories(self) -> None:
        for entry in self._directories:
            self._print(entry)
        self._directories.clear()

    def _print(self, entry: Added) -> None:
        if self._output.json:
            if self._waiting is not None:
                self._print_json(self._waiting, None)
            self._waiting = entry
            return
        # A directory made by -w has no name, and is printed so; a file without a name goes by its CID.
        name = printable(entry.name) or ("" if entry.kind == "directory" else str(entry.cid))
        self._output.line(str(entry.cid) if self._quiet else f"added {entry.cid} {name}")

    def _print_json(self, entry: Added, root: Added | None) -> None:
        totals = {"new_bytes": root and root.new_bytes, "new_blocks": root and root.new_blocks}
        self._output.result({**plain(entry), **totals})
