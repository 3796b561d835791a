"""What ``import human3r`` offers."""

from __future__ import annotations

import subprocess
import sys

import human3r


def test_every_public_name_can_be_loaded() -> None:
    assert [name for name in human3r.__all__ if getattr(human3r, name, None) is None] == []


def test_importing_the_package_loads_no_large_library() -> None:
    names = ("torch", "numpy", "viser", "av", "gradio", "pyrender", "spaces")
    script = f"import sys, human3r; print([name for name in {names} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_before_the_first_frame_nothing_of_scipy_is_loaded() -> None:
    script = "import sys, human3r.commands.run; print('scipy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_the_help_begins_with_an_example_and_the_functions() -> None:
    first_lines = human3r.__doc__.splitlines()[:12]

    assert any("human3r.reconstruct(" in line for line in first_lines)
    assert any(line.startswith("Functions:") for line in first_lines)


def test_a_result_prints_as_one_short_line(walk) -> None:
    assert len(repr(walk)) < 120
