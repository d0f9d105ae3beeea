"""The reference pages and what Shoal really has: no public name without its entry, no entry without its name.

Read from the sources, so nothing is imported. The examples of these pages are run by test_examples.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PACKAGE = ROOT / "python" / "shoal"


def exported(module: Path) -> set[str]:
    """The names in a module's `__all__`."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module.name} has no __all__")


def test_every_public_name_has_an_entry() -> None:
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    entries = {name for block in re.findall(r"```\{source\} \S+ (.+)", page) for name in block.split()}
    # Errors have a page of their own.
    wanted = exported(PACKAGE / "__init__.py") - exported(PACKAGE / "errors.py") - {"errors", "__version__"}
    assert wanted - entries == set()


def test_every_error_is_in_the_table_and_no_other() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == exported(PACKAGE / "errors.py")


def test_the_exit_codes_are_those_of_the_errors() -> None:
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    used = set()
    for node in ast.walk(ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))):
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "exit_code":
            used.add(ast.literal_eval(node.value))
    assert used, "no error has an exit code: this test looks at the wrong place"
    assert used <= documented
