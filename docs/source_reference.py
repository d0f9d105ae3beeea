"""A Sphinx directive that writes the Python reference from the sources: signatures and docstrings, read by `ast`.

Not autodoc: nothing is imported, so the pages build without a compiled module, and the prose comes from where it is
kept (`_core.pyi` for what Rust provides). Use: a fenced block `{source} shoal/store.py Store`, below `python/`.
The one rule: a name that is asked for and not there is an error, and so is a public one without a docstring.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

PYTHON = Path(__file__).resolve().parents[1] / "python"
# Methods of every value; what they do is Python's to say.
ORDINARY = {"__init__", "__new__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__getattr__"}


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}


def text_after(body: list[ast.stmt], position: int) -> str:
    """The string that stands after a field and says what it is."""
    following = body[position + 1] if position + 1 < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return inspect.cleandoc(str(following.value.value))
    return ""


def signature(function: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool) -> str:
    """Parameters and result, without `self`."""
    arguments = function.args
    if is_method and "staticmethod" not in decorators(function):
        for kind in (arguments.posonlyargs, arguments.args):
            if kind:
                del kind[0]
                break
    result = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"({ast.unparse(arguments)}){result}"


def fence(kind: str, argument: str, options: list[str], body: list[str], depth: int) -> list[str]:
    """A directive around lines that may hold directives themselves."""
    ticks = "`" * (9 - depth)
    return [f"{ticks}{{py:{kind}}} {argument}", *options, "", *body, ticks, ""]


def members(owner: ast.ClassDef) -> Iterator[list[str]]:
    """The public fields and methods of a class, in the order of the source."""
    seen: set[str] = set()
    for position, node in enumerate(owner.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if not name.startswith("_"):
                # Not in the index: a field called `bytes` would be taken for the type.
                options = [f":type: {ast.unparse(node.annotation)}", ":no-index:"]
                yield fence("attribute", name, options, text_after(owner.body, position).splitlines(), 2)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("_") or node.name in seen:
                continue
            marks = decorators(node)
            if "overload" in marks:
                continue
            seen.add(node.name)
            prose = (ast.get_docstring(node) or "").splitlines()
            if "property" in marks:
                options = [":no-index:", *([f":type: {ast.unparse(node.returns)}"] if node.returns else [])]
                yield fence("property", node.name, options, prose, 2)
            else:
                options = [":async:"] if isinstance(node, ast.AsyncFunctionDef) else []
                options += [f":{mark}:" for mark in ("staticmethod", "classmethod") if mark in marks]
                yield fence("method", node.name + signature(node, is_method=True), options, prose, 2)


def constructor(owner: ast.ClassDef) -> str:
    """What a class is called with; nothing for values that only Shoal makes."""
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__new__"):
            return signature(node, is_method=True).rpartition(" -> ")[0] or signature(node, is_method=True)
    return ""


def reference(path: Path, name: str) -> list[str]:
    """The Markdown of one class or function."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name != name:
            continue
        prose = ast.get_docstring(node)
        if not prose:
            message = f"{path.name}: {name} has no docstring"
            raise ExtensionError(message)
        if isinstance(node, ast.FunctionDef):
            return fence("function", name + signature(node, is_method=False), [], prose.splitlines(), 1)
        body = [*prose.splitlines(), ""]
        for member in members(node):
            body += member
        return fence("class", name + constructor(node), [], body, 1)
    message = f"{path.name} has no {name}"
    raise ExtensionError(message)


class SourceDirective(SphinxDirective):
    """`{source} FILE NAME …`: the reference of these names."""

    required_arguments = 2
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        file, names = self.arguments
        path = PYTHON / file
        if not path.is_file():
            message = f"{self.env.docname}: no source {file}"
            raise ExtensionError(message)
        self.env.note_dependency(str(path))
        lines = [line for name in names.split() for line in reference(path, name)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=False)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("source", SourceDirective)
    return {"parallel_read_safe": True}
