"""The Linux kernel's source tree, as a whole: some 80,000 files, symlinks and directories of every size.

The tree is named by SHOAL_KERNEL_TREE, or lies in the cache of `.ci/run`, where `.ci/kernel-tree` puts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pair

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def kernel_tree() -> Path:
    cache = Path(
        os.environ.get("SHOAL_CI_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoal-ci"
    )
    tree = Path(os.environ.get("SHOAL_KERNEL_TREE") or cache / "kernel-tree" / "linux")
    if not tree.is_dir():
        raise FileNotFoundError(
            f"no kernel tree at {tree}; get it with `.ci/kernel-tree` or name it in SHOAL_KERNEL_TREE"
        )
    return tree


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "blake3", "unixfs-v0-2015"])
def test_the_kernel_tree_gives_the_same_lines(pair: Pair, kernel_tree: Path, profile: str):
    lines = pair.assert_same_add("-r", "--hidden", kernel_tree.name, profile=profile, cwd=kernel_tree.parent)
    assert len(lines) > 70_000
