"""The README's snippets run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("demo", "examples", "human3r", "tests")
MAX_PREVIEW_BYTES = 1_500_000


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def _commands(word: str) -> list[str]:
    """Return the commands of the package that contain a word, for this interpreter."""
    lines = [line.split("    #")[0] for block in _blocks("bash") for line in block.splitlines()]
    return [line.replace(".venv/bin/python", sys.executable) for line in lines if f" {word} " in f"{line} "]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the examples, in which the snippets write their files."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_snippet_runs(checkout: Path) -> None:
    (snippet,) = _blocks("python")

    output = _run([sys.executable, "-c", snippet], checkout)

    assert output.startswith("Reconstruction(")
    assert (checkout / "reconstruction.npz").read_bytes()[:2] == b"PK"
    assert (checkout / "scene.glb").read_bytes()[:4] == b"glTF"


def test_the_commands_run_one_after_the_other(checkout: Path) -> None:
    for word in ("reconstruct", "export", "list"):
        (command,) = _commands(word)
        _run(command.split(), checkout)

    assert {"reconstruction.npz", "scene.glb", "scene.html", "overlay.mp4", "bvh.zip", "manifest.json"} <= {
        path.name for path in (checkout / "out").iterdir()
    }


def test_every_linked_file_exists() -> None:
    for page in [*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text) for link in link]
        local = [link for link in links if link and "://" not in link]
        assert [link for link in local if not (page.parent / link).exists()] == [], page


def test_the_moving_picture_is_small_and_moves() -> None:
    from PIL import Image

    path = ROOT / "examples" / "preview.webp"

    assert path.stat().st_size <= MAX_PREVIEW_BYTES
    with Image.open(path) as picture:
        assert picture.n_frames > 1
