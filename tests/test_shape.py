"""The shape of the project, as tests: who may import whom, what is pure, what files are called, what pages lead to.

Python is read by its syntax tree, Rust by Cargo's manifests and by its text. Nothing of Shoal is imported here, so that
these tests run on a clone in which nothing was built. `docs/architecture.md` has the same rules in words.
Each rule is a function over a folder; `RULES` runs them on the project, and `test_each_rule_fails_when_it_is_broken` on
small projects that break them one by one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]

# Rooms of the Python package (a module, or a folder of them), and the rooms each may import.
MAY_IMPORT = {
    "errors": set(),
    "config": {"errors"},
    "_core": {"errors", "results"},
    "results": set(),
    "content": {"errors", "_core"},
    "file": {"errors", "_core", "results"},
    "version": {"errors", "_core", "results", "content"},
    "target": {"errors", "_core", "file"},
    "dag": {"errors", "_core", "results", "content", "target"},
    "pin": {"errors", "_core", "results", "content"},
    "reference": {"errors", "_core", "results", "content"},
    "blob": {"errors", "_core", "results", "content", "target"},
    "store": {"errors", "_core", "results", "content", "target", "file", "dag", "pin", "blob", "reference"},
    "operation": {"errors", "_core", "results", "store"},
    "stream": {"errors", "_core", "results", "content", "file", "store"},
    "identity": {"errors", "_core"},
    "peer": {"errors", "_core", "rate", "transport"},
    "rate": set(),
    "swarm": {"errors", "_core", "peer", "rate", "transport"},
    # Pure but for its driver, and what that is made of.
    "exchange": {"errors", "_core", "peer"},
    "transfer": {"errors", "results", "operation", "store"},
    "network": {
        "errors",
        "_core",
        "results",
        "content",
        "store",
        "identity",
        "peer",
        "swarm",
        "exchange",
        "transfer",
        "transport",
        "discovery",
    },
    "transport": {"errors"},
    "discovery": {"errors", "_core", "transport"},
    "node": {
        "errors",
        "_core",
        "results",
        "content",
        "file",
        "dag",
        "pin",
        "store",
        "operation",
        "stream",
        "identity",
        "network",
        "transfer",
        "transport",
        "discovery",
        "exchange",
        "swarm",
    },
    "filesystem": {"errors", "_core", "results", "file", "store"},
    "http": {"errors", "results", "file", "store", "node", ""},
    # A node that runs, and commands that reach it.
    "control": {"errors", "_core", "results", "node", "swarm", "transfer", "transport", "discovery"},
    "cli": {
        "errors",
        "config",
        "results",
        "file",
        "store",
        "identity",
        "node",
        "control",
        "transport",
        "discovery",
        "http",
        "",
    },
    # The front door opens onto every room but the command line.
    "": {"errors", "_core", "results", "file", "version", "store", "node"},
}
# These two measure the core's own machines; every other command goes through the store or the node.
MAY_ALSO_IMPORT = {"cli/bench.py": {"_core"}, "cli/demo.py": {"_core"}}
# Modules that may not be imported while `import shoal` runs: they cost more than all of Shoal.
LATE = {
    "click",
    "rich",
    "anyio",
    "trio",
    "asyncio",
    "msgspec",
    "platformdirs",
    "fsspec",
    "uvicorn",
    "hypercorn",
    "dns",
    "segno",
}
# Rooms that `import shoal` loads.
LOADED_AT_IMPORT = {
    "",
    "errors",
    "results",
    "content",
    "target",
    "file",
    "version",
    "dag",
    "pin",
    "blob",
    "reference",
    "store",
}
LOADED_LATER = {
    "node",
    "operation",
    "stream",
    "http",
    "cli",
    "control",
    "config",
    "exchange",
    "filesystem",
    "transport",
    "identity",
    "peer",
    "swarm",
    "transfer",
    "network",
    "discovery",
}

# What decides and does nothing may import, of Python's own: values and algorithms. Dice only as `Random(seed)`.
PURE_PYTHON = "exchange"
PURE_MAY_IMPORT = {"__future__", "collections", "dataclasses", "enum", "heapq", "itertools", "math", "random", "typing"}
IMPURE_CALLS = {"open", "print", "input", "id", "hash", "exec", "eval", "__import__"}
# The driver does what was decided.
NOT_PURE = {f"exchange/{name}.py" for name in ("driver", "fetch", "link", "store_access")}

RUST_MAY_USE = {
    "shoal-core": set(),
    "shoal-store": {"shoal-core"},
    "shoal-wire": {"shoal-core"},
    "shoal-bindings": {"shoal-core", "shoal-store", "shoal-wire"},
    # A workspace of its own; its checks are included by the tests of both.
    "shoal-fuzz": {"shoal-core", "shoal-store", "shoal-wire"},
}
KNOWS_PYTHON = {"shoal-bindings"}
IMPURE_RUST = re.compile(
    r"\bstd::(fs|net|thread|process|env)\b|\b(Instant|SystemTime)\b|\b(rand|getrandom|tokio|rayon|pyo3)::"
)

# Where core may say `unsafe`, each with its reason.
UNSAFE_IN_CORE = {"chunk/mincdc/widths.rs": "calls what is compiled for instructions that not every machine has"}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "stuff"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
CODE_LINES_MAX = 900
# Longer files, each with its reason.
LONG_FILES = {"tests/system/test_bad_input.py": "a catalogue: each case is short, and a reader looks for one of them"}

SOURCE_SUFFIXES = {".py", ".pyi", ".rs", ".toml", ".md", ".sh", ".yml", ".yaml"}


def files(root: Path) -> list[Path]:
    """The files of the project: what git knows or would add; in a folder that is no repository, all of them."""
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0 and (root / ".git").exists():
        paths = [root / name for name in listing.stdout.decode().split("\0") if name]
        return sorted(path for path in paths if path.is_file())
    return sorted(path for path in root.rglob("*") if path.is_file())


def is_source(path: Path) -> bool:
    return path.suffix in SOURCE_SUFFIXES or path.parent.name == ".ci"


# Python


def python_modules(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Room, path inside the package, and file of each module of `shoal`."""
    package = root / "python" / "shoal"
    for path in files(root):
        if path.suffix == ".py" and path.is_relative_to(package):
            inside = path.relative_to(package)
            room = inside.parts[0].removesuffix(".py")
            yield ("" if room == "__init__" else room, inside.as_posix(), path)


def imported(tree: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
    """Absolute names of what a module's code imports, with line numbers. Relative imports are resolved."""
    package = ["shoal", *Path(inside).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                yield (f"{base}.{alias.name}", node.lineno)


def room_of(name: str, rooms: set[str]) -> str | None:
    """The room of an imported name, or None when it is not ours. `shoal.CID` is the front door."""
    parts = name.split(".")
    if parts[0] != "shoal":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in rooms else ""


def when_run(tree: ast.Module) -> ast.Module:
    """A module without what only type checkers read."""

    class Prune(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Prune().visit(tree)


def python_imports_follow_the_table(root: Path) -> Iterator[str]:
    modules = list(python_modules(root))
    rooms = {room for room, _, _ in modules} | set(MAY_IMPORT)
    for room, inside, path in modules:
        if room not in MAY_IMPORT:
            if room != "__main__":
                yield f"{inside}: the room '{room}' is not in MAY_IMPORT; say whom it may import"
            continue
        allowed = MAY_IMPORT[room] | MAY_ALSO_IMPORT.get(inside, set()) | {room}
        for name, line in imported(when_run(ast.parse(path.read_text(encoding="utf-8"))), inside):
            target = room_of(name, rooms)
            if target is not None and target not in allowed:
                yield f"{inside}:{line}: '{room}' may not import '{target or 'shoal'}' ({name})"


def at_import_time(tree: ast.Module) -> ast.Module:
    """What runs when a module is imported: without bodies of functions."""

    class Prune(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

    return Prune().visit(when_run(tree))


def import_shoal_loads_nothing_slow(root: Path) -> Iterator[str]:
    for room, inside, path in python_modules(root):
        if room not in LOADED_AT_IMPORT:
            continue
        tree = at_import_time(ast.parse(path.read_text(encoding="utf-8")))
        for name, line in imported(tree, inside):
            if name.split(".")[0] in LATE or room_of(name, LOADED_LATER) in LOADED_LATER:
                yield f"{inside}:{line}: imports {name} while `import shoal` runs"


def the_exchange_is_pure(root: Path) -> Iterator[str]:
    """No await, no clock, no dice without a seed, no files, and nothing that differs between two runs of the same seed."""
    for room, inside, path in python_modules(root):
        if room != PURE_PYTHON or inside in NOT_PURE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, line in imported(when_run(tree), inside):
            first = name.split(".")[0]
            if first not in PURE_MAY_IMPORT | {"shoal"} or (first == "random" and name != "random.Random"):
                yield f"{inside}:{line}: is pure, but imports {name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{inside}:{node.lineno}: is pure, but waits"
            elif isinstance(node, ast.Set | ast.SetComp):
                yield f"{inside}:{node.lineno}: has a set, whose order differs from run to run; take a dict"
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in IMPURE_CALLS or (called == "Random" and not node.args):
                    yield f"{inside}:{node.lineno}: is pure, but calls {called}"


# Rust


def manifests(root: Path) -> Iterator[tuple[str, Path, dict[str, object]]]:
    for path in files(root):
        # Programs of others that Shoal is measured beside are no crates of its own.
        if path.name == "Cargo.toml" and path.parent != root and "benches" not in path.relative_to(root).parts:
            manifest = tomllib.loads(path.read_text(encoding="utf-8"))
            yield (manifest["package"]["name"], path.parent, manifest)


def dependencies(manifest: dict[str, object]) -> set[str]:
    """Names of all dependencies of a crate, those for tests, builds and single platforms included."""
    tables = [manifest, *manifest.get("target", {}).values()]  # type: ignore[union-attr,attr-defined]
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    return {name for table in tables for kind in kinds for name in table.get(kind, {})}


def crates_depend_as_the_table_says(root: Path) -> Iterator[str]:
    ours = {name for name, _, _ in manifests(root)}
    for crate, folder, manifest in manifests(root):
        if crate not in RUST_MAY_USE:
            yield f"{folder.name}: the crate {crate} is not in RUST_MAY_USE"
            continue
        used = dependencies(manifest)
        for name in sorted((used & ours) - RUST_MAY_USE[crate]):
            yield f"{crate} may not depend on {name}"
        if "pyo3" in used and crate not in KNOWS_PYTHON:
            yield f"{crate} may not know Python"
        if manifest.get("lints") != {"workspace": True}:
            yield f"{crate} does not take the workspace's lints"


def without_tests(source: str) -> str:
    """Rust source without comments and without its `#[cfg(test)]` module, which stands last in a file."""
    source = re.split(r"^\s*#\[cfg\(test\)\]\s*$", source, maxsplit=1, flags=re.MULTILINE)[0]
    return "\n".join(line.split("//")[0] for line in source.splitlines())


def part_with_tests(path: Path) -> str:
    """The test module of a Rust file; the whole file where it is nothing but tests."""
    parts = re.split(r"^\s*#\[cfg\(test\)\]\s*$", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)
    return parts[-1] if len(parts) > 1 or "tests" in path.parts else ""


def has_tests(path: Path) -> bool:
    return path.is_file() and bool(re.search(r"#\[test\]|proptest!", part_with_tests(path)))


def is_test_file(path: Path) -> bool:
    """A file of nothing but tests: `tests.rs`, `*_tests.rs`, or anything below a crate's `tests` or `benches`."""
    return (
        path.stem == "tests" or path.stem.endswith("_tests") or bool({"tests", "benches", "examples"} & set(path.parts))
    )


def core_and_wire_are_pure(root: Path) -> Iterator[str]:
    yield from crate_is_pure(root, "core", "#![deny(unsafe_code)]", UNSAFE_IN_CORE)
    yield from crate_is_pure(root, "wire", "#![forbid(unsafe_code)]", {})


def crate_is_pure(root: Path, crate: str, wall: str, unsafe_in: dict[str, str]) -> Iterator[str]:
    source = root / "rust" / crate / "src"
    for path in files(root):
        if path.suffix != ".rs" or not path.is_relative_to(source) or is_test_file(path.relative_to(root)):
            continue
        is_safe = path.relative_to(source).as_posix() not in unsafe_in
        for number, line in enumerate(without_tests(path.read_text(encoding="utf-8")).splitlines(), 1):
            if found := IMPURE_RUST.search(line):
                yield f"{path.relative_to(root)}:{number}: {crate} is pure, but uses {found[0]}"
            if is_safe and re.search(r"\b(allow|expect)\(unsafe_code\b", line):
                yield f"{path.relative_to(root)}:{number}: {crate} is without unsafe code but in {sorted(unsafe_in)}"
    library = source / "lib.rs"
    if library.is_file() and wall not in library.read_text(encoding="utf-8"):
        yield f"rust/{crate}/src/lib.rs does not say {wall}"


def core_decoders_have_tests(root: Path) -> Iterator[str]:
    source = root / "rust" / "core" / "src"
    for path in files(root):
        if path.suffix != ".rs" or not path.is_relative_to(source) or is_test_file(path.relative_to(root)):
            continue
        text = path.read_text(encoding="utf-8")
        decodes = re.search(
            r"^\s*pub (?:const )?fn (?:decode|parse|read|from_bytes|from_str)\w*", without_tests(text), re.MULTILINE
        )
        tests = [path, path.parent / "mod.rs", *(root / "rust" / "core" / "tests").glob("*.rs")]
        named = re.compile(rf"\b{path.stem}\b")
        # Tests beside the code, in the room's own file, or of the whole crate, as long as they name this file.
        tested = any(has_tests(test) and (test == path or named.search(part_with_tests(test))) for test in tests)
        if decodes and not tested:
            yield f"{path.relative_to(root)}: decodes ({decodes[0].strip()}), and has no test that names it"


# Everything


def names_say_something(root: Path) -> Iterator[str]:
    for path in files(root):
        inside = path.relative_to(root)
        for part in (*inside.parts[:-1], path.stem.removeprefix("test_")):
            if part.lower() in NAMES_THAT_SAY_NOTHING:
                yield f"{inside}: '{part}' does not say what is in it"


def nothing_is_left_unfinished(root: Path) -> Iterator[str]:
    for path in files(root):
        if is_source(path) and path != Path(__file__):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if found := UNFINISHED.search(line):
                    yield f"{path.relative_to(root)}:{number}: {found[0]}; finish it, or write an issue"


def code_lines(path: Path) -> int:
    """Lines of code: neither blank nor comment; in Rust, without the tests at the file's end."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".rs":
        text = without_tests(text)
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith(("#", "//")))


def files_are_not_long(root: Path) -> Iterator[str]:
    for path in files(root):
        if path.suffix not in (".py", ".rs", ".pyi"):
            continue
        inside = path.relative_to(root).as_posix()
        lines = code_lines(path)
        if lines > CODE_LINES_MAX and inside not in LONG_FILES:
            yield f"{inside}: {lines} lines of code; cut it along its nouns, or give a reason in LONG_FILES"
        if lines <= CODE_LINES_MAX and inside in LONG_FILES:
            yield f"{inside}: {lines} lines of code; it need not be in LONG_FILES any more"


def sources_open_with_what_they_are(root: Path) -> Iterator[str]:
    for path in files(root):
        inside = path.relative_to(root)
        if path.suffix == ".rs" and not path.read_text(encoding="utf-8").lstrip().startswith("//!"):
            yield f"{inside}: does not open with //! and what it is"
        if (
            path.suffix == ".py"
            and path.name != "__init__.py"
            and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        ):
            yield f"{inside}: has no docstring that says what it is"


# Documentation


def pages(root: Path) -> list[Path]:
    return [path for path in files(root) if path.suffix == ".md" and path.is_relative_to(root / "docs")]


def every_page_is_in_a_toctree(root: Path) -> Iterator[str]:
    every = set(pages(root))
    reached: set[Path] = set()
    for page in every:
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            for entry in tree.splitlines():
                if entry and not entry.startswith(":"):
                    reached |= {found for found in page.parent.glob(f"{entry}.md") if found != page}
    for page in sorted(every - reached - {root / "docs" / "index.md"}):
        yield f"{page.relative_to(root)}: no toctree leads here"


def pages_name_files_that_exist(root: Path) -> Iterator[str]:
    """Links to files, and paths in code spans that begin with a folder of this project."""
    documents = [*pages(root), *(path for path in files(root) if path.suffix == ".md" and path.parent == root)]
    folders = {"rust", "python", "tests", "benches", "docs", ".ci"}
    for page in documents:
        text = re.sub(r"^(```+).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(root)}: links to {target}, which does not exist"
        for span in re.findall(r"`([^`\s]+)`", text):
            path = re.sub(r":\d+$", "", span).rstrip("/")
            if path.split("/")[0] not in folders or "/" not in path or re.search(r"[<>{}$…]", path):
                continue
            if not any(root.glob(path)):
                yield f"{page.relative_to(root)}: names {span}, which does not exist"


RULES: list[Callable[[Path], Iterator[str]]] = [
    python_imports_follow_the_table,
    import_shoal_loads_nothing_slow,
    the_exchange_is_pure,
    crates_depend_as_the_table_says,
    core_and_wire_are_pure,
    core_decoders_have_tests,
    names_say_something,
    nothing_is_left_unfinished,
    files_are_not_long,
    sources_open_with_what_they_are,
    every_page_is_in_a_toctree,
    pages_name_files_that_exist,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_its_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert not list(rule(ROOT))


def test_the_rules_look_at_something() -> None:
    assert len(list(python_modules(ROOT))) >= 5
    assert {name for name, _, _ in manifests(ROOT)} == set(RUST_MAY_USE)
    assert len(pages(ROOT)) >= 20


LINTS = "[lints]\nworkspace = true\n"

BROKEN: list[tuple[Callable[[Path], Iterator[str]], dict[str, str]]] = [
    (python_imports_follow_the_table, {"python/shoal/store.py": "from .node import Node"}),
    (python_imports_follow_the_table, {"python/shoal/store.py": "def late():\n    import shoal.cli"}),
    (python_imports_follow_the_table, {"python/shoal/errors.py": "from . import _core"}),
    (python_imports_follow_the_table, {"python/shoal/cli/add.py": "from .._core import Store"}),
    (python_imports_follow_the_table, {"python/shoal/cli/add.py": "from shoal import _core"}),
    (python_imports_follow_the_table, {"python/shoal/gateway.py": ""}),
    (import_shoal_loads_nothing_slow, {"python/shoal/store.py": "import anyio"}),
    (import_shoal_loads_nothing_slow, {"python/shoal/__init__.py": "from .node import Node"}),
    (import_shoal_loads_nothing_slow, {"python/shoal/errors.py": "class A:\n    import rich.text"}),
    (the_exchange_is_pure, {"python/shoal/exchange/session.py": "import time"}),
    (the_exchange_is_pure, {"python/shoal/exchange/session.py": "from random import random"}),
    (the_exchange_is_pure, {"python/shoal/exchange/session.py": "from random import Random\ndice = Random()"}),
    (the_exchange_is_pure, {"python/shoal/exchange/server.py": "async def serve(): ..."}),
    (the_exchange_is_pure, {"python/shoal/exchange/server.py": "def f(path):\n    return open(path)"}),
    (the_exchange_is_pure, {"python/shoal/exchange/server.py": "peers = {peer for peer in ()}"}),
    (
        crates_depend_as_the_table_says,
        {"rust/core/Cargo.toml": '[package]\nname = "shoal-core"\n[dependencies]\npyo3 = "1"'},
    ),
    (
        crates_depend_as_the_table_says,
        {
            "rust/core/Cargo.toml": '[package]\nname = "shoal-core"\n[dev-dependencies]\nshoal-store = "1"\n' + LINTS,
            "rust/store/Cargo.toml": '[package]\nname = "shoal-store"\n' + LINTS,
        },
    ),
    (crates_depend_as_the_table_says, {"rust/core/Cargo.toml": '[package]\nname = "shoal-core"'}),
    (crates_depend_as_the_table_says, {"rust/wire/Cargo.toml": '[package]\nname = "shoal-wire"'}),
    (core_and_wire_are_pure, {"rust/core/src/cid.rs": "use std::fs::File;"}),
    (core_and_wire_are_pure, {"rust/core/src/car/v1.rs": "let t = Instant::now();"}),
    (core_and_wire_are_pure, {"rust/core/src/lib.rs": "pub mod cid;"}),
    (core_and_wire_are_pure, {"rust/core/src/cid.rs": '#[expect(unsafe_code, reason = "fast")]'}),
    (core_and_wire_are_pure, {"rust/wire/src/yamux/session.rs": "let t = Instant::now();"}),
    (core_and_wire_are_pure, {"rust/wire/src/lib.rs": "#![deny(unsafe_code)]"}),
    (core_decoders_have_tests, {"rust/core/src/dag/pb.rs": "pub fn decode(data: &[u8]) {}"}),
    (names_say_something, {"python/shoal/utils.py": ""}),
    (names_say_something, {"rust/core/src/common/hash.rs": ""}),
    (nothing_is_left_unfinished, {"rust/core/src/cid.rs": "// TODO: later"}),
    (files_are_not_long, {"rust/core/src/cid.rs": "let a = 1;\n" * (CODE_LINES_MAX + 1)}),
    (sources_open_with_what_they_are, {"rust/core/src/cid.rs": "pub struct Cid;"}),
    (sources_open_with_what_they_are, {"benches/chunk.py": "a = 1"}),
    (every_page_is_in_a_toctree, {"docs/index.md": "# A\n", "docs/lost.md": "# B\n"}),
    (pages_name_files_that_exist, {"README.md": "See [it](docs/it.md)."}),
    (pages_name_files_that_exist, {"docs/index.md": "See `rust/core/src/nowhere.rs`."}),
]


@pytest.mark.parametrize(
    ("rule", "project"), BROKEN, ids=[f"{rule.__name__}-{next(iter(project))}" for rule, project in BROKEN]
)
def test_each_rule_fails_when_it_is_broken(
    rule: Callable[[Path], Iterator[str]], project: dict[str, str], tmp_path: Path
) -> None:
    for name, text in project.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert list(rule(tmp_path))


def test_every_rule_was_seen_to_fail() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_a_project_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    project = {
        "python/shoal/__init__.py": "from ._core import CID\ndef __getattr__(name):\n    from .node import Node",
        "python/shoal/store.py": '"""The store."""\nfrom .errors import NotFound\nif TYPE_CHECKING:\n    import anyio',
        "python/shoal/node.py": '"""The node."""\nimport anyio\nfrom .store import Store',
        "python/shoal/errors.py": '"""Errors."""\nimport pickle',
        "python/shoal/exchange/session.py": '"""Session."""\nfrom random import Random\nDICE = Random(1)',
        "python/shoal/exchange/driver.py": '"""Driver."""\nimport anyio\nasync def drive(): ...',
        "python/shoal/cli/add.py": '"""Add."""\nimport click, shoal\nfrom ..node import Node\nfrom . import lines',
        "python/shoal/cli/lines.py": '"""Lines."""',
        "python/shoal/cli/bench.py": '"""Bench."""\nfrom .. import _core',
        "rust/core/Cargo.toml": '[package]\nname = "shoal-core"\n[lints]\nworkspace = true',
        "rust/core/src/lib.rs": "//! Core.\n#![deny(unsafe_code)]\n// std::fs\n#[cfg(test)]\nmod tests { std::fs }",
        "rust/core/src/chunk/mincdc/widths.rs": '//! Widths.\n#[expect(unsafe_code, reason = "it")]',
        "rust/core/src/cid.rs": "//! CIDs.\npub fn decode() {}\n#[cfg(test)]\nmod tests {\n#[test]\nfn it() {}\n}",
        "docs/index.md": "```{toctree}\n:glob:\n\nformats/*\n```\n[pack](formats/pack.md) `rust/core` `rust/*/src`",
        "docs/formats/pack.md": "# Pack",
    }
    for name, text in project.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert [(rule.__name__, list(rule(tmp_path))) for rule in RULES] == [(rule.__name__, []) for rule in RULES]
