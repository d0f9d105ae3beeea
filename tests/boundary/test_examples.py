"""Runs the examples of README.md, docs/ and docstrings: what they show is what happens.

Each page runs from top to bottom in a folder of its own with an empty store. Blocks marked `python` are executed in one
namespace per page; lines of `console` blocks that begin with `$` are run by bash, and what follows is their expected
output, where `…` stands for anything. `<!-- not run: why -->` just before a block leaves it out, and is counted here.
"""

from __future__ import annotations

import ast
import doctest
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"python", "console"}
# Packages of others that examples use. They are large, and `.ci/run` installs them.
OTHERS = {"numpy", "pandas", "pyarrow", "xarray", "zarr"}

# Blocks that no test runs, page by page. Each says why in its page.
NOT_RUN = {
    "README.md": 2,
    "CONTRIBUTING.md": 1,
    "docs/how-to/pandas-xarray-pytorch.md": 2,
    "docs/testing.md": 1,
    "docs/transport.md": 1,
    "docs/benchmarks/index.md": 3,
}


@dataclass(frozen=True)
class Example:
    """One fenced block of a page."""

    language: str
    line: int
    text: str
    not_run: str | None


def examples(page: Path) -> list[Example]:
    """The runnable blocks of a page, in order."""
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opened = re.fullmatch(r"(`{3,})([^`]*)", lines[number])
        if not opened:
            number += 1
            continue
        start = number + 1
        end = next((at for at in range(start, len(lines)) if lines[at].strip() == opened[1]), None)
        assert end is not None, f"{page.name}:{number + 1}: a fence that is never closed"
        if opened[2].strip() in LANGUAGES:
            comment = re.fullmatch(r"<!-- not run: (.+) -->", lines[number - 1].strip()) if number else None
            found.append(
                Example(opened[2].strip(), start + 1, "\n".join(lines[start:end]), comment[1] if comment else None)
            )
        number = end + 1
    return found


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block with the lines of output each is shown with. `> ` continues a command."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        else:
            assert found, f"a console block begins with a command, not with {line!r}"
            found[-1][1].append(line)
    return found


def as_pattern(expected: list[str]) -> str:
    """Expected output as a regular expression: `…` is anything, even nothing or several lines; blanks are one."""
    text = re.sub(r"[ \t]+", " ", "\n".join(expected)).strip()
    return "".join("(?s:.*)" if part == "…" else re.escape(part) for part in re.split("(…)", text))


def pages() -> list[Path]:
    documents = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return sorted(page for page in [*ROOT.glob("*.md"), *documents] if examples(page))


def uses_kubo(page: Path) -> bool:
    return any(
        re.search(r"\bipfs ", command)
        for e in examples(page)
        if e.language == "console"
        for command, _ in commands(e.text)
    )


def others_used(page: Path) -> set[str]:
    """The packages of others that a page's programs import."""
    blocks = [ast.parse(e.text) for e in examples(page) if e.language == "python" and not e.not_run]
    imports = [node for block in blocks for node in ast.walk(block) if isinstance(node, ast.Import)]
    return {alias.name.partition(".")[0] for node in imports for alias in node.names} & OTHERS


def as_parameter(page: Path) -> object:
    name = page.relative_to(ROOT).as_posix()
    return pytest.param(page, id=name, marks=[pytest.mark.interop] if uses_kubo(page) or others_used(page) else [])


@pytest.mark.parametrize("page", [as_parameter(page) for page in pages()])
def test_the_examples_of_a_page_do_what_it_says(
    page: Path, tmp_path: Path, store_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    environment = dict(os.environ)
    if uses_kubo(page):
        environment = request.getfixturevalue("kubo_environment")
    for package in sorted(others_used(page)):
        if importlib.util.find_spec(package) is None:
            request.getfixturevalue("missing_counterpart")(package, f"pip install {package}, as .ci/tools.txt has it")
    environment |= {"SHOAL_PATH": str(store_path), "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "SHOAL_NODE_MDNS": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    namespace: dict[str, object] = {"__name__": "__main__"}
    for example in examples(page):
        if example.not_run:
            continue
        if example.language == "python":
            # Line numbers of a failure are those of the page.
            source = "\n" * (example.line - 1) + example.text
            exec(compile(source, str(page), "exec"), namespace)
        else:
            for command, expected in commands(example.text):
                run_command(page, command, expected, environment)


def run_command(page: Path, command: str, expected: list[str], environment: dict[str, str]) -> None:
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment,
        # As in a terminal: messages stand among the results.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    shown = f"{page.relative_to(ROOT)}: $ {command}\n{run.stdout}"
    assert run.returncode == 0, f"exit code {run.returncode}: {shown}"
    if expected:
        printed = re.sub(r"[ \t]+", " ", run.stdout).strip()
        printed = "\n".join(line.strip() for line in printed.splitlines())
        assert re.fullmatch(as_pattern(expected), printed), f"expected\n{os.linesep.join(expected)}\ngot {shown}"


def test_blocks_that_are_not_run_are_counted() -> None:
    counted = {page.relative_to(ROOT).as_posix(): sum(1 for e in examples(page) if e.not_run) for page in pages()}
    assert {name: count for name, count in counted.items() if count} == NOT_RUN


def test_an_example_that_prints_something_else_fails(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    environment = dict(os.environ)
    run_command(page, "echo bafy123 12 name", ["bafy… 12 name"], environment)
    with pytest.raises(AssertionError, match="expected"):
        run_command(page, "echo bafy123 13 name", ["bafy… 12 name"], environment)
    with pytest.raises(AssertionError, match="exit code 3"):
        run_command(page, "exit 3", [], environment)


def docstrings(path: Path) -> list[tuple[str, str]]:
    """Names and docstrings of a source that have examples in them, those of fields left out."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and ">>> " in text:
                found.append((getattr(node, "name", "module"), text))
    return found


def docstring_parameters() -> list[object]:
    package = ROOT / "python" / "shoal"
    sources = sorted([*package.rglob("*.py"), *package.rglob("*.pyi")])
    return [
        pytest.param(text, id=f"{source.relative_to(package).as_posix()}:{name}")
        for source in sources
        for name, text in docstrings(source)
    ]


@pytest.mark.parametrize("text", docstring_parameters())
def test_the_examples_of_a_docstring_do_what_they_say(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    import shoal

    monkeypatch.chdir(tmp_path)
    # Examples name a folder that a reader has; here each has its own.
    text = text.replace("/tmp/shoal-example", str(tmp_path / "example"))
    everything = {"anyio": anyio, **{name: getattr(shoal, name) for name in shoal.__all__}}
    example = doctest.DocTestParser().get_doctest(text, {"shoal": shoal, **everything}, "docstring", None, None)
    failures, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert tried > 0
    assert failures == 0
