"""How Sphinx builds these pages: `python -m sphinx -W -b html docs docs/_build`, without the network."""

import sys
import tomllib
from pathlib import Path

_root = Path(__file__).resolve().parent.parent
_cargo = tomllib.loads((_root / "Cargo.toml").read_text(encoding="utf-8"))

project = "Shoal"
author = "The Shoal maintainers"
project_copyright = "2026, The Shoal maintainers"
release = _cargo["workspace"]["package"]["version"]
version = release

sys.path.insert(0, str(Path(__file__).resolve().parent))
extensions = ["myst_parser", "source_reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
templates_path: list[str] = []

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

python_maximum_signature_line_length = 100
add_module_names = False

html_theme = "furo"
html_title = f"Shoal {release}"
html_show_sphinx = False
html_copy_source = False
