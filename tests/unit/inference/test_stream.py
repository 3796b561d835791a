"""The forward pass of ``compact`` in stages gives what one frame after the other gives."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from human3r.errors import InputError
from human3r.inference.loading.model import load_model
from human3r.inference.recurrence import Recurrence
from human3r.inference.session import Session
from human3r.inference.stream import Ended, Opened, ReconstructOptions, Stepped, decoder_ahead, forward
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(scope="module")
def compact():
    return load_model("compact", device="cpu")


def test_stages_that_overlap_give_every_frame_in_order_and_change_no_number(compact, clip, tmp_path):
    options = ReconstructOptions(max_frames=4, keep_in=tmp_path, snapshot_every=2, finds_cuts=False)
    events = list(forward(clip, compact, options))

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


def test_a_snapshot_is_of_its_frame_though_the_network_is_ahead(compact, tmp_path):
    clip = EXAMPLES / "rendered_two_people_orbit.mp4"
    session, plain = Session(compact), []
    with FrameReader(clip, Sampling(max_frames=5)) as reader:
        for frame in reader:
            session.step(frame.image, frame.time_s, frame.frame_index)
            plain.append(session.snapshot())

    options = ReconstructOptions(max_frames=5, keep_in=tmp_path, snapshot_every=1)
    with closing(forward(clip, compact, options)) as events:
        next(events)
        for expected in plain:
            event = next(events)
            # The network has time to run ahead.
            time.sleep(0.3)
            assert isinstance(event, Stepped)
            assert event.snapshot is not None
            assert event.snapshot.num_frames == expected.num_frames
            assert event.snapshot.filter_state is not None
            assert expected.filter_state is not None
            torch.testing.assert_close(event.snapshot.filter_state.time_s, expected.filter_state.time_s)
            torch.testing.assert_close(
                event.snapshot.state.state_tokens, expected.state.state_tokens, atol=5e-2, rtol=0
            )
            assert len(event.snapshot.filter_state.track_id) == 2


def test_a_run_that_is_left_ends_every_stage(compact, clip):
    with closing(forward(clip, compact, ReconstructOptions())) as events:
        next(events)
        assert isinstance(next(events), Stepped)

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_an_error_in_the_recurrence_reaches_the_caller(compact, clip, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no step")

    monkeypatch.setattr(Recurrence, "advance", refuse)
    with pytest.raises(RuntimeError, match="no step"):
        list(forward(clip, compact, ReconstructOptions()))


def test_a_decoder_that_started_ahead_delivers_the_clip_and_ends_with_the_block(compact, clip):
    options = ReconstructOptions(max_frames=2)
    with decoder_ahead(clip, options) as opening:
        events = list(forward(clip, compact, options, opening=opening))
        assert sum(isinstance(event, Stepped) for event in events) == 2

    with pytest.raises(RuntimeError, match="no model"), decoder_ahead(clip, options) as opening:
        raise RuntimeError("no model")
    with pytest.raises(ValueError, match="closed file"):
        next(iter(opening.result()))


def test_a_clip_that_cannot_be_opened_ahead_fails_where_it_is_read(compact, tmp_path):
    options = ReconstructOptions()
    with decoder_ahead(tmp_path / "gone.mp4", options) as opening, pytest.raises(InputError):
        next(forward(tmp_path / "gone.mp4", compact, options, opening=opening))
