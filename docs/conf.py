"""How Sphinx builds these pages: `python -m sphinx -W -b html docs docs/_build`, without the network."""

import tomllib
from pathlib import Path

_root = Path(__file__).resolve().parent.parent
_cargo = tomllib.loads((_root / "Cargo.toml").read_text(encoding="utf-8"))

project = "Shoal"
author = "The Shoal maintainers"
project_copyright = "2026, The Shoal maintainers"
release = _cargo["workspace"]["package"]["version"]
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
templates_path: list[str] = []

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"Shoal {release}"
html_show_sphinx = False
html_copy_source = False
