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

import human3r
from demo.zero_gpu import find_spaces, pack, requested_seconds, unpack
from human3r import ReconstructOptions
from human3r.inference.stream import Stepped

pytestmark = pytest.mark.timeout(900)
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NUM_FRAMES = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip and with a text that is named like one."""
    folder = tmp_path_factory.mktemp("zero_gpu")
    noise_clip(folder / "clip.mp4", NUM_FRAMES, seed=5)
    (folder / "notes.mp4").write_text("This is text.\n")
    return folder


@pytest.fixture(scope="module")
def lent(clips: Path) -> dict:
    """Facts of a run of each with the package that lends GPUs."""
    command = [sys.executable, str(HERE / "run_once.py"), *(str(clips / file) for file in ("clip.mp4", "notes.mp4"))]
    path = f"{HERE / 'fake_spaces'}{os.pathsep}{ROOT}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "SPACES_ZERO_GPU": "true"}
    done = subprocess.run(
        [*command, str(clips / "steps.txt")], cwd=clips, env=environment, capture_output=True, text=True
    )
    facts = [line for line in done.stdout.splitlines() if line.startswith("FACTS ")]
    assert facts, done.stdout + done.stderr
    return json.loads(facts[0].removeprefix("FACTS "))


def test_only_the_forward_pass_runs_where_the_gpu_is_lent(lent: dict) -> None:
    assert len(lent["steps"]) == 1
    assert lent["steps"] != [str(lent["pid"])]


def test_a_lent_gpu_gives_the_same_result_and_every_file(lent: dict, clips: Path) -> None:
    here = human3r.reconstruct(clips / "clip.mp4", human3r.load_model("tiny"))

    assert lent["frames"] == here.num_frames == NUM_FRAMES
    np.testing.assert_allclose(lent["path"], here.T_world_camera.sum(axis=0), atol=1e-3)
    assert {"player.viser", "overlay.mp4", "scene.glb"} <= set(lent["ready"])


def test_a_bad_file_is_the_same_sentence_and_asks_for_no_gpu(lent: dict, clips: Path) -> None:
    with pytest.raises(human3r.InputError, match="not a video") as here:
        human3r.probe(clips / "notes.mp4")

    assert here.value.message in lent["problem"]
    assert len(lent["asked_s"]) == 1
    assert lent["counts"] == [0, 0]


def test_the_package_comes_before_torch_and_its_task_before_the_launch(lent: dict) -> None:
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
