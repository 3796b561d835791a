"""What a host of the demo reads: a Space's front matter, the container's recipe, the lists of packages."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import gradio
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from demo.settings import SPACES_PORT

ROOT = Path(__file__).resolve().parents[3]
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
"""Source: Hugging Face, Spaces configuration reference."""
MAX_SHORT_DESCRIPTION = 60


@pytest.fixture(scope="module")
def front_matter() -> dict[str, object]:
    _, block, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(block)


@pytest.fixture(scope="module")
def recipe() -> list[list[str]]:
    """The Dockerfile's instructions as words; continued lines are joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def test_the_front_matter_is_one_that_a_space_takes(front_matter: dict[str, object]) -> None:
    assert front_matter["sdk"] == "gradio"
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= COLORS
    assert len(front_matter["short_description"]) <= MAX_SHORT_DESCRIPTION
    assert re.fullmatch(r"\d+m|\d+h|\d+s", front_matter["startup_duration_timeout"])
    assert (ROOT / front_matter["app_file"]).is_file()
    assert (ROOT / "packages.txt").is_file()


def test_the_space_gets_the_gradio_that_the_requirements_ask_for(front_matter: dict[str, object]) -> None:
    wanted = next(item for item in requirements() if item.name == "gradio")

    assert str(front_matter["sdk_version"]) in wanted.specifier
    assert gradio.__version__ in wanted.specifier


def test_every_dependency_is_bounded_from_below_and_comes_from_an_index() -> None:
    for item in requirements():
        assert item.url is None
        assert any(part.operator in (">=", "==", "~=") for part in item.specifier), item.name


def test_the_lock_of_the_container_names_a_version_and_hashes_for_every_requirement() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE))

    assert len(locked) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))
    for item in requirements():
        assert locked[item.name.replace("_", "-")] in item.specifier


def test_the_python_of_the_container_is_one_that_the_project_supports(recipe: list[list[str]]) -> None:
    image = next(words[1] for words in recipe if words[0] == "FROM")
    version = Version(image.split(":")[1].split("-")[0])

    assert Version("3.10") <= version <= Version("3.13")


def test_the_container_copies_what_there_is_and_nothing_that_is_ignored(recipe: list[list[str]]) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for words in recipe if words[0] == "COPY" for name in words[1:-1]]

    assert not [name for name in copied if not (ROOT / name).exists()]
    assert not [name for name in copied if not any(fnmatch.fnmatch(name, pattern) for pattern in kept)]
    assert {"app.py", "demo", "human3r", "examples", "requirements.txt", "LICENSE", "NOTICE"} <= set(copied)


def test_the_container_runs_unprivileged_with_a_health_check(recipe: list[list[str]]) -> None:
    text = "\n".join(" ".join(words) for words in recipe)
    users = [words[1] for words in recipe if words[0] == "USER"]

    assert users
    assert users[-1] not in ("0", "root")
    assert f"EXPOSE {SPACES_PORT}" in text
    assert re.search(rf"HEALTHCHECK .*127\.0\.0\.1:{SPACES_PORT}/healthz", text)
    assert recipe[-1][0] == "CMD"
    assert f'"{SPACES_PORT}"' in text.rsplit("CMD", 1)[1]
