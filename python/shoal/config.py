"""Settings: what each is called, where it may come from, and which source won.

A setting comes from a flag, else the environment, else `config.toml` in the store's folder, else its default.
Not here: what a setting does; whoever uses it decides that.
The one rule: a key or value that is not understood is an error that names it, never ignored.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = str | int | float | bool
FILE_NAME: Final = "config.toml"
# A settings file is a page of text; anything larger is the wrong file.
_FILE_BYTES_MAX: Final = 1 << 20


class ConfigError(InvalidInput):
    """A setting's name or value that is not understood: the message says which, and where it stands."""


@dataclass(frozen=True)
class Key:
    """One setting. `parse` turns text or a TOML value into its value, or raises ValueError saying what is allowed."""

    name: str
    default: Value
    parse: Callable[[object], Value]
    about: str
    environment: tuple[str, ...] = ()
    in_file: bool = True


@dataclass(frozen=True)
class Setting:
    """A key's value and where it came from: `default`, `flag --store`, `environment SHOAL_PATH` or the file's path."""

    key: Key
    value: Value
    origin: str


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("true or false")


_SIZE: Final = re.compile(r"(\d{1,15})\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


def parse_bytes(value: object) -> int:
    """A number of bytes from `65536`, `64KiB`, `64K` (of 1024) or `1GB` (of 1000); ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a number of bytes such as 1048576, 64MiB or 1GB")
    number, unit, binary = found.groups()
    if unit is None:
        return int(number)
    decimal = not binary and found.group().lower().endswith("b")
    scale = 1000 if decimal else 1024
    return int(number) * math.prod([scale] * ("kmgt".index(unit.lower()) + 1))


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise ValueError("a number of seconds between 0 and 86400")
    return seconds


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return parse


KEYS: Final[Mapping[str, Key]] = {
    key.name: key
    for key in (
        Key("store.path", "~/.shoal", _text, "Folder of the store.", ("SHOAL_PATH",), in_file=False),
        Key(
            "store.lock_wait_seconds",
            30.0,
            _seconds,
            "How long a command waits for another writer.",
            ("SHOAL_STORE_LOCK_WAIT_SECONDS",),
        ),
        Key(
            "store.pack_bytes_max",
            1 << 30,
            parse_bytes,
            "Size at which a pack file is sealed.",
            ("SHOAL_STORE_PACK_BYTES_MAX",),
        ),
        Key(
            "store.size_max",
            0,
            parse_bytes,
            "Quota: bytes that packs and blobs may have; 0 for no limit.",
            ("SHOAL_STORE_SIZE_MAX",),
        ),
        Key("add.profile", "blake3", _text, "Profile of `shoal add` when none is named.", ("SHOAL_ADD_PROFILE",)),
        Key(
            "add.pin",
            default=True,
            parse=_boolean,
            about="Whether `shoal add` pins what it adds.",
            environment=("SHOAL_ADD_PIN",),
        ),
        Key(
            "node.mdns",
            default=True,
            parse=_boolean,
            about="Whether nodes find each other on the local network by multicast DNS.",
            environment=("SHOAL_NODE_MDNS",),
        ),
        Key(
            "output.color",
            "auto",
            _one_of("auto", "always", "never"),
            "Colours: auto means on a terminal.",
            ("SHOAL_OUTPUT_COLOR",),
        ),
        Key(
            "output.progress",
            "auto",
            _one_of("auto", "always", "never"),
            "Progress: auto means on a terminal.",
            ("SHOAL_OUTPUT_PROGRESS",),
        ),
    )
}


def key_named(name: str) -> Key:
    """The setting of that name; ConfigError with the nearest names if there is none."""
    key = KEYS.get(name)
    if key is None:
        near = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(KEYS)}"
        raise ConfigError(f"unknown key {_shown(name)}: {advice}")
    return key


def _shown(name: str) -> str:
    """A name as it may be shown: quoted, escaped and cut to a line."""
    return json.dumps(name[:80])


def _parsed(key: Key, value: object, where: str) -> Value:
    try:
        return key.parse(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {key.name} cannot be {_shown(str(value))}: it is {error}") from None


@dataclass
class Settings:
    """Every setting with its origin, read once."""

    folder: Path
    found: dict[str, Setting] = field(default_factory=dict)

    @classmethod
    def load(
        cls, *, flags: Mapping[str, tuple[Value, str]] | None = None, environment: Mapping[str, str] | None = None
    ) -> Settings:
        """Reads all sources. `flags` maps a key to its value and the flag's name; `environment` is `os.environ`."""
        environment = os.environ if environment is None else environment
        flags = flags or {}
        path = _resolved(KEYS["store.path"], flags, environment, {}, "")
        settings = cls(Path(str(path.value)).expanduser())
        file = settings.file
        values = read_file(file)
        for key in KEYS.values():
            settings.found[key.name] = (
                path if key.name == "store.path" else _resolved(key, flags, environment, values, str(file))
            )
        return settings

    @property
    def file(self) -> Path:
        return self.folder / FILE_NAME

    def __getitem__(self, name: str) -> Value:
        return self.found[key_named(name).name].value

    def text(self, name: str) -> str:
        return str(self[name])

    def is_default(self, name: str) -> bool:
        return self.found[key_named(name).name].origin == "default"


def _resolved(
    key: Key,
    flags: Mapping[str, tuple[Value, str]],
    environment: Mapping[str, str],
    values: Mapping[str, object],
    file: str,
) -> Setting:
    if key.name in flags:
        value, flag = flags[key.name]
        return Setting(key, value, f"flag {flag}")
    for variable in key.environment:
        if environment.get(variable):
            return Setting(
                key, _parsed(key, environment[variable], f"environment {variable}"), f"environment {variable}"
            )
    if key.name == "output.color" and environment.get("NO_COLOR"):
        return Setting(key, "never", "environment NO_COLOR")
    if key.in_file and key.name in values:
        return Setting(key, _parsed(key, values[key.name], file), file)
    return Setting(key, key.default, "default")


def read_file(file: Path) -> dict[str, object]:
    """The settings written in `file`, by full name; none if there is no such file. Unknown keys are ConfigError."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if len(text) > _FILE_BYTES_MAX:
        raise ConfigError(f"{file}: larger than 1 MiB: this is not a settings file")
    return _checked(_loaded(text, file), file)


def _loaded(text: bytes, file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text.decode())
    # Of values that are nested too deep, and numbers too long to be read, tomllib says so in its own words.
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {str(error)[:200]}") from None


def _checked(document: Mapping[str, object], file: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    for section, content in document.items():
        entries = (
            {f"{section}.{name}": value for name, value in content.items()}
            if isinstance(content, dict)
            else {section: content}
        )
        for name, value in entries.items():
            try:
                key = key_named(name)
            except ConfigError as error:
                raise ConfigError(f"{file}: {error}") from None
            if not key.in_file:
                raise ConfigError(f"{file}: {_not_in_file(key)}")
            _parsed(key, value, str(file))
            values[name] = value
    return values


def _not_in_file(key: Key) -> str:
    return f"{key.name} cannot be set in the store's own file: use --store or {' or '.join(key.environment)}"


def write(file: Path, name: str, text: str) -> Value:
    """Sets one key in `file`, leaving its other lines and comments as they are; returns the value as parsed.

    The file is replaced as a whole, so a reader sees the old or the new one.
    """
    key = key_named(name)
    if not key.in_file:
        raise ConfigError(
            f"{name} cannot be set in the store's own file: use --store or {' or '.join(key.environment)}"
        )
    value = _parsed(key, text, "config set")
    before = read_file(file)
    old = file.read_text() if file.exists() else ""
    new = _with_line(old, name, f"{name.partition('.')[2]} = {toml_value(value)}")
    if _checked(_loaded(new.encode(), file), file) != {**before, name: value}:
        raise ConfigError(f"{file}: {name} is written in a way this command cannot change: edit the file by hand")
    _replace(file, new)
    return value


def toml_value(value: Value) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # JSON's strings are TOML's basic strings, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)


_HEADER: Final = re.compile(r"\s*\[\s*([\w-]+)\s*\]\s*(?:#.*)?")


def _with_line(text: str, name: str, line: str) -> str:
    """`text` with the line of `section.key` replaced, or added at the end of its section."""
    section, _, short = name.partition(".")
    assignment = re.compile(rf"\s*{re.escape(short)}\s*=")
    lines = text.splitlines()
    current, end = "", None
    for number, old in enumerate(lines):
        header = _HEADER.fullmatch(old)
        if header is not None:
            current = header.group(1)
        elif current == section and assignment.match(old):
            lines[number] = line
            return "\n".join(lines) + "\n"
        if current == section and old.strip():
            end = number + 1
    if end is None:
        lines += ([""] if lines else []) + [f"[{section}]"]
        end = len(lines)
    lines.insert(end, line)
    return "\n".join(lines) + "\n"


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".config-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
