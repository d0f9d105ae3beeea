"""What one run of the command line knows, and opens only when asked: settings, output, the store.

The one rule: a command that needs no store opens none, and one that only reads takes no lock.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from shoal.cli.output import Output
from shoal.config import Settings, Value, parse_bytes
from shoal.errors import NotFound

if TYPE_CHECKING:
    from shoal import Store


class Session:
    """What one run of the command line knows: shared options, settings, output, and the store once it is open."""

    def __init__(self) -> None:
        self.flags: dict[str, tuple[Value, str]] = {}
        self.json = False
        self.debug = os.environ.get("SHOAL_DEBUG", "") not in ("", "0")
        self._settings: Settings | None = None
        self._output: Output | None = None
        self._store: Store | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            self._settings = Settings.load(flags=self.flags)
        return self._settings

    @property
    def output(self) -> Output:
        if self._output is None:
            wanted = self.settings.text("output.color")
            terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
            self._output = Output(json=self.json, color=wanted == "always" or (wanted == "auto" and terminal))
        return self._output

    def progress(self, flag: bool | None) -> bool | None:
        """Whether to show progress: the flag, else the setting; None leaves it to the terminal."""
        if flag is not None:
            return flag
        return {"always": True, "never": False}.get(self.settings.text("output.progress"))

    @property
    def has_store(self) -> bool:
        """Whether there is a store already, or something else that is not ours to replace."""
        folder = self.settings.folder
        return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))

    def store(self, *, read_only: bool = True, create: bool = False) -> Store:
        """The store this run works on, opened once. Only with `create` is one made where there is none."""
        from shoal import Store

        if self._store is None:
            settings = self.settings
            if not create and not self.has_store:
                raise NotFound(f"there is no store at {settings.folder}: 'shoal add' makes one, --store names another")
            pack_bytes_max = parse_bytes(settings["store.pack_bytes_max"])
            self._store = Store(
                settings.folder,
                read_only=read_only,
                pack_bytes_max=None if settings.is_default("store.pack_bytes_max") else pack_bytes_max,
                size_max=parse_bytes(settings["store.size_max"]) or None,
                lock_wait=float(settings["store.lock_wait_seconds"]),
            )
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


pass_session = click.make_pass_decorator(Session, ensure=True)
