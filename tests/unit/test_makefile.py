"""Setting up: what `make` does where a Python cannot make virtual environments."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"

# as Debian's Python does without the package python3-venv
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "$3/bin"
touch "$3/bin/python"
echo "ensurepip is not available"
exit 1
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("left", [False, True], ids=["from nothing", "over a half-made one"])
def test_a_virtual_environment_without_pip_is_not_left_behind(left: bool, tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    if left:
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        (tmp_path / ".venv" / "bin" / "python").touch()
    done = subprocess.run(
        ["make", f"PYTHON={python}", "models"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    assert "No module named pip" not in done.stdout + done.stderr
    assert not (tmp_path / ".venv").exists()
