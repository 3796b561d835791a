"""Rules that hold for the whole repository beside those of ruff and import-linter: words, imports, file sizes."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from human3r.errors import InputError, run_main

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [*sorted((ROOT / "human3r").rglob("*.py")), *sorted((ROOT / "demo").rglob("*.py")), ROOT / "app.py"]
FORBIDDEN = re.compile(
    r"pickle\.loads?\(|torch\.hub|os\.system|shell=True|allow_pickle=True|weights_only=False|gr\.load\(|"
    r"(?<![\w.])eval\(|(?<![\w.])exec\("
)
HEAVY = {"gradio", "viser", "pyrender", "spaces"}
MAX_FILE_BYTES = 10_000_000
"""What a hosted repository takes without large-file storage."""


MAX_MODULES, MAX_LINES = 15, 325
"""Of a folder, and of a module. A dozen, and 300, are aimed at."""


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


def test_no_modules_import_each_other_not_even_inside_functions_or_for_types() -> None:
    grimp = pytest.importorskip("grimp", reason="it comes with import-linter")
    graph = grimp.build_graph("human3r", "demo", cache_dir=None)
    order = TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    assert len(list(order.static_order())) == len(graph.modules)  # a circle raises CycleError


def test_folders_and_modules_stay_small() -> None:
    in_folder = Counter(_relative(path.parent) for path in SHIPPED if path.name != "__init__.py")
    lines = {_relative(path): len(path.read_text().splitlines()) for path in SHIPPED}

    assert not {folder: count for folder, count in in_folder.items() if count > MAX_MODULES}
    assert not {path: count for path, count in lines.items() if count > MAX_LINES}


def test_no_two_test_files_share_a_name() -> None:
    """pytest collects only the first of them."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]

    assert sorted(set(names)) == sorted(names)


def test_no_tracked_file_is_larger_than_a_space_takes() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert not [_relative(path) for path in files if path.exists() and path.stat().st_size > MAX_FILE_BYTES]


RUN_BY_NAME = [
    path
    for room in ("benchmarking", "evaluation", "surface", "training")
    for path in sorted((ROOT / "human3r" / room).rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text()
]


@pytest.mark.parametrize("path", RUN_BY_NAME, ids=_relative)
def test_modules_that_are_run_by_name_say_how_and_print_errors_as_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(_relative(path).removesuffix(".py").replace("/", "."))
    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit, match="2"):
        run_main(module.main)
    assert "usage:" in capsys.readouterr().err
    assert "    run_main(main)\n" in path.read_text()


def test_an_error_of_a_module_that_is_run_by_name_is_one_sentence() -> None:
    def fail() -> None:
        raise InputError("The clip is missing.", "Check the path.")

    with pytest.raises(SystemExit, match=r"^human3r: The clip is missing\. Check the path\.$"):
        run_main(fail)
