"""Runs that are ended suddenly: taken up at the last snapshot, equal to unbroken ones; ``test_cli.py`` kills one."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from human3r.errors import FormatError
from human3r.inference.encoding import Ahead, encode
from human3r.inference.loading.model import load_model
from human3r.inference.pipeline import RunControl, reconstruct
from human3r.inference.session import Session
from human3r.inference.snapshot import RunSnapshot, read_snapshot, write_snapshot
from human3r.inference.stream import ReconstructOptions
from human3r.records import TensorRecord
from human3r.results.store import StoreCheckpoint

TOLERANCE = 1e-5
"""Largest absolute difference between a run that was taken up and an unbroken one."""


class PulledPlug(BaseException):
    """Ends a run where nothing expects it."""


def assert_equal(found, expected):
    for name in (field.name for field in fields(expected) if field.name != "meta"):
        value, other = getattr(found, name), getattr(expected, name)
        if other is None:
            assert value is None, name
        else:
            assert np.shape(value) == np.shape(other), name
            assert np.allclose(np.float64(value), np.float64(other), atol=TOLERANCE, rtol=0), name


def run_until(clip, model, folder, last_frame, **options):
    def on_frame(prediction):
        if prediction.frame_index == last_frame:
            raise PulledPlug

    with pytest.raises(PulledPlug):
        reconstruct(clip, model, on_frame=on_frame, keep_in=folder, **options)


@pytest.fixture(scope="module")
def unbroken(tiny, clip):
    return reconstruct(clip, tiny)


@pytest.fixture(scope="module")
def unbroken_with_depth(tiny, clip):
    return reconstruct(clip, tiny, reset_interval=4, use_ttt3r=True, save_depth=True)


@pytest.mark.parametrize("last_frame", [0, 2, 7])
def test_a_run_resumes_at_its_last_snapshot(tiny, clip, unbroken_with_depth, tmp_path, last_frame):
    options = {"snapshot_every": 3, "reset_interval": 4, "use_ttt3r": True, "save_depth": True}
    run_until(clip, tiny, tmp_path / "run", last_frame, **options)
    seen, done = [], []
    control = RunControl(on_start=lambda clip, num_done: done.append(num_done))
    found = reconstruct(clip, tiny, on_frame=seen.append, control=control, keep_in=tmp_path / "run", **options)
    # A snapshot is made before the frame is shown.
    num_done = (last_frame + 1) // 3 * 3
    assert seen[0].frame_index == num_done
    assert done == [num_done]
    assert_equal(found, unbroken_with_depth)
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_resumes(tiny, clip, unbroken, tmp_path):
    first, second = [], []
    options = ReconstructOptions(keep_in=tmp_path / "run", snapshot_every=2)
    control = RunControl(lambda: len(first) == 5)
    stopped = reconstruct(clip, tiny, options, on_frame=first.append, control=control)
    found = reconstruct(clip, tiny, options, on_frame=second.append)
    assert stopped.num_frames == 5
    assert second[0].frame_index == 4
    assert_equal(found, unbroken)
    assert not (tmp_path / "run").exists()


def test_a_partial_row_after_a_crash_is_dropped(tiny, clip, unbroken, tmp_path):
    run_until(clip, tiny, tmp_path / "run", 7, snapshot_every=3)
    for path in (tmp_path / "run").glob("*.rows"):
        with path.open("ab") as stream:
            stream.write(b"\x7f" * 11)
    assert_equal(reconstruct(clip, tiny, keep_in=tmp_path / "run", snapshot_every=3), unbroken)


def test_a_run_with_other_options_starts_over(tiny, clip, tmp_path):
    run_until(clip, tiny, tmp_path / "run", 2, snapshot_every=2)
    seen = []
    reconstruct(clip, tiny, on_frame=seen.append, keep_in=tmp_path / "run", max_frames=3)
    assert seen[0].frame_index == 0


def test_foreign_files_stay_in_the_folder(tiny, clip, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    reconstruct(clip, tiny, keep_in=tmp_path, max_frames=4, snapshot_every=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_snapshot_is_reported(tiny, clip, tmp_path):
    run_until(clip, tiny, tmp_path / "run", 2, snapshot_every=2)
    path = tmp_path / "run" / "snapshot.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="snapshot is damaged"):
        reconstruct(clip, tiny, keep_in=tmp_path / "run")


@pytest.mark.parametrize("name", ["tiny", "compact"])
def test_a_saved_session_continues_bit_for_bit(tiny, frames, tmp_path, name):
    model = tiny if name == "tiny" else load_model("compact", device="cpu")
    session = Session(model)
    for index in range(3):
        session.step(frames[index])
    store = StoreCheckpoint(3, 2, (60, 80), (0.0, 0.0, 80.0, 60.0), None, {"one": np.ones((2, 3))})
    write_snapshot(tmp_path, RunSnapshot({"who": "me"}, session.snapshot(), store))
    snapshot = read_snapshot(tmp_path, model.network.state_types)
    restored = Session.restore(model, snapshot.session)
    expected, found = session.step(frames[3]), restored.step(frames[3])
    values: list[list[torch.Tensor]] = [[], []]
    for record, kept in zip((expected, found), values, strict=True):
        assert isinstance(record, TensorRecord)
        record.map(lambda tensor, kept=kept: kept.append(tensor) or tensor)
    assert all(torch.equal(one, other) for one, other in zip(*values, strict=True))
    assert snapshot.store.scene["one"].shape == (2, 3)
    assert snapshot.store.image_size == (60, 80)
    with safe_open(tmp_path / "snapshot.safetensors", "pt") as file:
        assert set(file.metadata()) == {"run"}


def test_poisoned_frames_in_the_middle_leave_the_others_as_they_are(tiny, frames):
    blank, unbroken = np.zeros_like(frames[0]), Session(tiny)
    expected = [unbroken.step(frames[index]) for index in range(3)]
    session = Session(tiny)
    found = [session.step(frames[0])]
    session.step(blank)
    broken = encode(tiny, [session.prepare(frames[1])])[0].tokens
    poisoned = replace(broken, image=replace(broken.image, tokens=broken.image.tokens * float("nan")))
    session.step_prepared(session.prepare(frames[1]), ahead=Ahead(poisoned))
    found += [session.step(frames[index]) for index in (1, 2)]
    assert session.num_rejected == 2
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.camera.T_world_camera, other.camera.T_world_camera)
        assert torch.equal(one.joints_world, other.joints_world)
        assert torch.equal(one.pointmap_camera, other.pointmap_camera)
