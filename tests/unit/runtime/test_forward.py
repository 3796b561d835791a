"""The forward pass of ``compact`` in stages gives what one frame after the other gives."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import torch

from human3r.runtime.forward import Ended, Opened, RunOptions, Stepped, forward
from human3r.runtime.loading import load_model
from human3r.runtime.session import Session
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling


@pytest.fixture(scope="module")
def compact():
    return load_model("compact", device="cpu")


def test_stages_that_overlap_give_every_frame_in_order_and_change_no_number(compact, clip):
    events = list(forward(clip, compact, RunOptions(Sampling(max_frames=4), snapshot_every=2)))

    session = Session(compact)
    with FrameReader(clip, Sampling(max_frames=4)) as reader:
        expected = [session.step(frame.image, frame.time_s, frame.frame_index) for frame in reader]
    assert isinstance(events[0], Opened)
    assert isinstance(events[-1], Ended)
    stepped = [event for event in events if isinstance(event, Stepped)]
    assert [event.prediction.frame_index for event in stepped] == [0, 1, 2, 3]
    assert [event.snapshot is not None for event in stepped] == [False, True, False, True]
    assert stepped[3].snapshot is not None
    assert stepped[3].snapshot.num_frames == 4
    for event, plain in zip(stepped, expected, strict=True):
        for name in ("pointmap_camera", "confidence", "person_mask"):
            # Kernels share the sums among another number of threads.
            torch.testing.assert_close(getattr(event.prediction, name), getattr(plain, name), atol=1e-3, rtol=1e-3)


def test_a_run_that_is_left_ends_every_stage(compact, clip):
    with closing(forward(clip, compact, RunOptions())) as events:
        next(events)
        assert isinstance(next(events), Stepped)

    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_an_error_in_the_recurrence_reaches_the_caller(compact, clip, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no step")

    monkeypatch.setattr(Session, "advance", refuse)
    with pytest.raises(RuntimeError, match="no step"):
        list(forward(clip, compact, RunOptions()))
