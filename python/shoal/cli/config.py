"""`shoal config`: what is set, what could be, and which source won.

The one rule: `config set` writes only what the next command will accept.
"""

from __future__ import annotations

import click

from shoal.cli.command import Family
from shoal.cli.output import printable
from shoal.cli.session import Session, pass_session
from shoal.config import key_named, toml_value, write


@click.group("config", cls=Family)
def config() -> None:
    """Show and change settings. A flag beats the environment, which beats config.toml in the store's folder."""


@config.command(
    "show", examples=["shoal config show --origin     # and where each comes from", "shoal config show --json"]
)
@click.option("--origin", is_flag=True, help="Say which source won: a flag, the environment, the file, or the default.")
@pass_session
def show(session: Session, origin: bool) -> None:
    """Print every setting and its value."""
    found = session.settings.found.values()
    record = {
        entry.key.name: {"value": entry.value, "origin": entry.origin} if origin else entry.value for entry in found
    }
    lines = [f"{entry.key.name} = {toml_value(entry.value)}" for entry in found]
    if origin:
        width = max(len(line) for line in lines)
        lines = [f"{line:{width}}  # {printable(entry.origin)}" for line, entry in zip(lines, found, strict=True)]
    session.output.result(record, *lines)


@config.command("get", examples=["shoal config get add.profile", "shoal config get --json store.path"])
@click.argument("key")
@click.option("--origin", is_flag=True, help="Say which source won as well.")
@pass_session
def get(session: Session, key: str, origin: bool) -> None:
    """Print the value of one setting."""
    entry = session.settings.found[key_named(key).name]
    text = entry.value if isinstance(entry.value, str) else toml_value(entry.value)
    session.output.result(
        {"key": key, "value": entry.value, "origin": entry.origin},
        printable(text) + (f"  # {printable(entry.origin)}" if origin else ""),
    )


@config.command(
    "set",
    context_settings={"ignore_unknown_options": True},  # so that a negative number is a value
    examples=["shoal config set add.profile unixfs-v1-2025", "shoal config set store.lock_wait_seconds 5"],
)
@click.argument("key")
@click.argument("value")
@pass_session
def set_(session: Session, key: str, value: str) -> None:
    """Write one setting into the store's config.toml."""
    if key == "add.profile":
        from shoal import Profile

        Profile.named(value)
    file = session.settings.file
    parsed = write(file, key, value)
    session.output.result({"key": key, "value": parsed, "file": str(file)})
