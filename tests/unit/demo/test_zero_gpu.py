"""The demo where a GPU is lent (with a stand-in for the package ``spaces``) and where there is no such package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_clips import noise_clip

from demo.zero_gpu import find_spaces, pack, requested_seconds, unpack
from human3r import ReconstructOptions
from human3r.inference.stream import Stepped

pytestmark = pytest.mark.timeout(900)
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NUM_FRAMES = 4


@pytest.fixture(scope="module")
def runs_both_ways(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Facts of the same runs: with the package that lends GPUs, and without."""
    folder = tmp_path_factory.mktemp("zero_gpu")
    noise_clip(folder / "clip.mp4", NUM_FRAMES, seed=5)
    (folder / "notes.mp4").write_text("This is text.\n")
    with_package = {"PYTHONPATH": f"{HERE / 'fake_spaces'}{os.pathsep}{ROOT}", "SPACES_ZERO_GPU": "true"}
    return _run(folder, "lent", with_package), _run(folder, "here", {"PYTHONPATH": str(ROOT)})


def _run(folder: Path, name: str, environment: dict[str, str]) -> dict:
    command = [sys.executable, str(HERE / "run_once.py"), *(str(folder / file) for file in ("clip.mp4", "notes.mp4"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SPACES_ZERO_GPU": "", **environment}
    done = subprocess.run(
        [*command, str(folder / f"{name}.txt")], cwd=folder, env=environment, capture_output=True, text=True
    )
    facts = [line for line in done.stdout.splitlines() if line.startswith("FACTS ")]
    assert facts, done.stdout + done.stderr
    return json.loads(facts[0].removeprefix("FACTS "))


def test_only_the_forward_pass_runs_where_the_gpu_is_lent(runs_both_ways: tuple[dict, dict]) -> None:
    lent, here = runs_both_ways

    assert here["steps"] == [str(here["pid"])]
    assert len(lent["steps"]) == 1
    assert lent["steps"] != [str(lent["pid"])]


def test_a_lent_gpu_gives_the_same_result_and_files(runs_both_ways: tuple[dict, dict]) -> None:
    lent, here = runs_both_ways

    assert lent["frames"] == here["frames"] == NUM_FRAMES
    np.testing.assert_allclose(lent["path"], here["path"], atol=1e-3)
    assert lent["ready"] == here["ready"]
    assert "player.viser" in lent["ready"]


def test_a_bad_file_is_the_same_sentence_and_asks_for_no_gpu(runs_both_ways: tuple[dict, dict]) -> None:
    lent, here = runs_both_ways

    assert lent["problem"] == here["problem"]
    assert "not a video" in lent["problem"]
    assert len(lent["asked_s"]) == 1
    assert lent["counts"] == [0, 0]


def test_the_package_comes_before_torch_and_its_task_before_the_launch(runs_both_ways: tuple[dict, dict]) -> None:
    lent, _ = runs_both_ways

    assert lent["spaces_before_torch"] is True
    assert lent["decorated_before_launch"] == 1
    assert lent["models"] == ["tiny"]


def test_a_package_that_lends_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE / "fake_spaces"))

    assert find_spaces({}) is None


def test_a_space_without_the_package_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)

    assert find_spaces({"SPACES_ZERO_GPU": "true"}) is None


def test_the_gpu_is_asked_for_by_length_and_never_for_more_than_a_visitor_gets() -> None:
    asked = [requested_seconds("clip.mp4", ReconstructOptions(), frames) for frames in (1, 300, 6000)]

    assert asked == sorted(asked)
    assert asked[0] < 20
    assert asked[-1] == 120


def test_events_travel_as_arrays_and_come_back_as_they_were(walk) -> None:
    from synthetic_scene import prediction_of

    event = Stepped(prediction_of(walk, 0), 3)

    packed = pack(event)
    back = unpack(packed)

    people = packed.fields["prediction"].fields["people"]
    assert isinstance(people.fields["score"], np.ndarray)
    assert back.num_rejected == 3
    assert (back.prediction.pointmap_camera == event.prediction.pointmap_camera).all()
    assert (back.prediction.people.track_id == event.prediction.people.track_id).all()
