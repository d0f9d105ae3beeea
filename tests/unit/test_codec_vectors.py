"""The golden files of the codecs are what their oracles write, so that neither changes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize(("oracle", "golden"), [("dag_json", "dag.json"), ("car", "car.json")])
def test_the_oracle_writes_the_golden_file_again(oracle, golden, tmp_path):
    write = f"import sys, pathlib as p, dag_json as w, {oracle} as o; w.write_vectors(p.Path(sys.argv[1]), o.vectors())"
    subprocess.run([sys.executable, "-c", write, tmp_path / golden], cwd=TESTS / "reference", check=True)
    assert (tmp_path / golden).read_bytes() == (TESTS / "vectors" / golden).read_bytes()
