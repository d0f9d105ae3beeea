"""The golden files of codecs and chunkers are what their oracles write, so that neither changes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("oracle", "golden"), [("dag_json", "dag.json"), ("car", "car.json"), ("ticket", "ticket.json")]
)
def test_the_oracle_writes_the_golden_file_again(oracle, golden, tmp_path):
    write = f"import sys, pathlib as p, dag_json as w, {oracle} as o; w.write_vectors(p.Path(sys.argv[1]), o.vectors())"
    subprocess.run([sys.executable, "-c", write, tmp_path / golden], cwd=TESTS / "reference", check=True)
    assert (tmp_path / golden).read_bytes() == (TESTS / "vectors" / golden).read_bytes()


def test_the_oracle_of_the_chunkers_writes_its_golden_file_again(tmp_path):
    write = "import sys, pathlib as p, chunkers as o; o.write_vectors(p.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", write, tmp_path / "chunks.json"], cwd=TESTS / "reference", check=True)
    assert (tmp_path / "chunks.json").read_bytes() == (TESTS / "vectors" / "chunks.json").read_bytes()
