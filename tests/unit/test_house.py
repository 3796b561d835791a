"""Rules that hold for the whole repository beside those of ruff and import-linter: words, imports, file sizes."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [*sorted((ROOT / "human3r").rglob("*.py")), *sorted((ROOT / "demo").rglob("*.py")), ROOT / "app.py"]
FORBIDDEN = re.compile(
    r"pickle\.loads?\(|torch\.hub|os\.system|shell=True|allow_pickle=True|weights_only=False|gr\.load\(|"
    r"(?<![\w.])eval\(|(?<![\w.])exec\("
)
HEAVY = {"gradio", "viser", "pyrender", "spaces"}
MAX_FILE_BYTES = 10_000_000
"""What a hosted repository takes without large-file storage."""


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_shipped_code_has_no_forbidden_words() -> None:
    found = [
        f"{_relative(path)}: {line.strip()}"
        for path in SHIPPED
        for line in path.read_text().splitlines()
        if FORBIDDEN.search(line)
    ]
    assert not found


def test_library_modules_import_no_viewer_page_or_gl_at_module_level() -> None:
    found = [
        f"{_relative(path)}: {name}"
        for path in sorted((ROOT / "human3r").rglob("*.py"))
        for name in _imported_packages(path) & (HEAVY | {"demo"})
    ]
    assert not found


def _imported_packages(path: Path) -> set[str]:
    """Return the top-level packages that a module imports when it is imported."""
    imported = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    return imported


def test_no_tracked_file_is_larger_than_a_space_takes() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert not [_relative(path) for path in files if path.exists() and path.stat().st_size > MAX_FILE_BYTES]
