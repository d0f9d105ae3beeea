"""The committed corpus of the Python boundary, replayed over its checks (boundary.py beside it)."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _boundary():
    specification = importlib.util.spec_from_file_location("fuzz_boundary", HERE / "boundary.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


BOUNDARY = _boundary()


@pytest.mark.parametrize("target", BOUNDARY.TARGETS)
def test_every_input_that_was_ever_found_is_answered_or_refused(target):
    inputs = sorted((HERE / "corpus" / target).iterdir())
    assert inputs, f"target {target} has no corpus"
    BOUNDARY.TARGETS[target](b"")
    for file in inputs:
        try:
            BOUNDARY.TARGETS[target](file.read_bytes())
        except BaseException as error:
            error.add_note(f"on {file}")
            raise
