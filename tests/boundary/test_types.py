"""Types: the stub says what the extension has, a user's program passes the strictest checkers, and it runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def needs(module: str, missing_counterpart) -> None:
    if importlib.util.find_spec(module) is None:
        missing_counterpart(module, "pip install '.[dev]'")


def test_the_stub_says_what_the_extension_has(missing_counterpart):
    needs("mypy", missing_counterpart)
    allowlist = str(HERE / "stubtest_allowlist.txt")
    run("mypy.stubtest", "shoal._core", "--allowlist", allowlist, "--ignore-unused-allowlist")


def test_the_package_and_a_users_program_pass_mypy(missing_counterpart):
    needs("mypy", missing_counterpart)
    run("mypy", "--strict", "python/shoal", "tests/boundary/sample_program.py")


def test_a_users_program_passes_pyright(missing_counterpart):
    needs("pyright", missing_counterpart)
    run("pyright", "--pythonpath", sys.executable, "tests/boundary/sample_program.py")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_users_program_runs_without_a_warning(tmp_path, backend):
    text = (HERE / "sample_program.py").read_text()
    assert "anyio.run(asynchronous, folder, cid)" in text
    program = tmp_path / "program.py"
    program.write_text(text.replace("folder, cid)\n    except", f"folder, cid, backend={backend!r})\n    except"))
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", program, tmp_path / "work"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("Warning"), done.stderr.count("Traceback")) == (0, 0, 0), done.stderr
