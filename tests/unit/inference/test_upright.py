"""A clip without an orientation tag is turned when its people agree, and never because of a handstand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

import human3r
from human3r.inference import upright
from human3r.inference.loading.model import load_model
from human3r.inference.stream import Opened, ReconstructOptions, forward
from human3r.inference.upright import Turn, find_turn, turned_upright
from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.records import Frame
from human3r.video.orientation import turned
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.writer import VideoWriter

CLIP = Path(__file__).resolve().parents[3] / "examples" / "sports2d_walk_and_flip.mp4"
#   nose, eyes, ears; shoulders; elbows; wrists; hips; knees; ankles (left, right), y down, in torso lengths
STANDING = [(0, -0.5)] * 5 + [(0.3, 0), (-0.3, 0), (0.4, 0.5), (-0.4, 0.5), (0.4, 1), (-0.4, 1)]
STANDING += [(0.2, 1), (-0.2, 1), (0.2, 1.8), (-0.2, 1.8), (0.2, 2.6), (-0.2, 2.6)]
ARMS_UP = [*STANDING[:7], (0.4, -0.6), (-0.4, -0.6), (0.4, -1.1), (-0.4, -1.1), *STANDING[11:]]
CURLED = [*STANDING[:13], (0.8, 1), (0.8, 1), (0.6, 0.5), (0.6, 0.5)]
FRAMES = [np.zeros((48, 64, 3), np.uint8)] * 3


def person(points: list[tuple[float, float]], turn_deg: int, certainty: float, center: float = 200.0) -> ImageKeypoints:
    """Return one person who is upright when the frame is turned clockwise by so much."""
    angle = np.radians(-turn_deg)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pixels = torch.tensor(np.array(points) @ rotation.T * 50 + center, dtype=torch.float32)
    score = torch.full((17,), certainty)
    return ImageKeypoints(pixels[None], score[None], torch.tensor([0.9]), torch.zeros(1, 4), torch.zeros(1, 2))


@pytest.fixture
def seen(monkeypatch):
    """Return a function that says what is found in every frame of a clip: (points, needed turn) per person."""
    monkeypatch.setattr(upright, "Session", lambda model: None)
    monkeypatch.setattr(upright, "_scene_agrees", lambda model, images, degrees: True)

    def set_people(*people):
        def look(session, image, degrees):
            # People lying or upside down are found with less certainty.
            turns = [(points, (needed - degrees) % 360) for points, needed in people]
            return [
                pose for points, turn in turns for pose in upright._poses(person(points, turn, 0.4 if turn else 0.7))
            ]

        monkeypatch.setattr(upright, "_look", look)

    return set_people


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_people_on_their_side_or_upside_down_turn_the_clip(seen, degrees):
    seen((STANDING, degrees), (CURLED, degrees), (STANDING, degrees))
    found = find_turn(None, FRAMES)
    assert found == (Turn(degrees, 1.0) if degrees else Turn())


@pytest.mark.parametrize("people", [[(ARMS_UP, 180)], [(CURLED, 90)]], ids=["handstand", "curled up on the floor"])
def test_a_handstand_or_somebody_on_the_floor_leaves_the_clip_as_it_is_and_is_told(seen, people):
    seen(*people)
    assert find_turn(None, FRAMES) == Turn(doubted_degrees=people[0][1])


def test_whoever_stands_beside_a_handstand_decides(seen):
    seen((ARMS_UP, 180), (STANDING, 180), (STANDING, 0))
    assert find_turn(None, FRAMES) == Turn()


def test_one_frame_an_empty_clip_and_a_scene_that_was_upright_turn_nothing(seen, monkeypatch):
    seen((STANDING, 90))
    assert find_turn(None, FRAMES[:1]) == Turn(doubted_degrees=90)
    assert find_turn(None, []) == Turn()
    monkeypatch.setattr(upright, "_scene_agrees", lambda model, images, degrees: False)
    assert find_turn(None, FRAMES) == Turn(doubted_degrees=90)
    seen()
    assert find_turn(None, FRAMES) == Turn()


def test_whoever_clearly_stands_decides_with_the_first_frame(seen):
    seen((STANDING, 0))
    taken = []

    def clip():
        for index in range(4):
            taken.append(index)
            yield Frame(FRAMES[0], index, index / 25)

    reader = MagicMock(FrameReader, info=SimpleNamespace(duration_s=1.0), __iter__=lambda self: clip())
    turn, frames = turned_upright(None, reader, Sampling(), open_part=lambda part: pytest.fail("opened again"))

    assert (turn, taken) == (Turn(), [0])
    assert [frame.frame_index for frame in frames] == [0, 1, 2, 3]


def test_a_real_clip_on_its_side_is_turned_and_the_result_says_so(tmp_path):
    model, clip = load_model("compact", device="cpu"), tmp_path / "side.mp4"
    with FrameReader(CLIP, Sampling(start_s=3.5, duration_s=1.5, fps=3)) as frames, VideoWriter(clip, fps=3) as writer:
        for frame in frames:
            writer.append(turned(270).apply(frame.image))
    size = frames.info.image_size

    result = human3r.reconstruct(clip, model=model)
    assert tuple(result.image_size) == size
    assert result.meta["options"]["rotate"] == result.meta["turn"]["degrees"] == 90
    assert any("turned by 90 degrees" in warning for warning in result.meta["warnings"])

    with closing(forward(clip, model, ReconstructOptions(rotate=0))) as events:
        opened = next(events)
    assert isinstance(opened, Opened)
    assert (opened.turn.degrees, opened.info.image_size) == (0, size[::-1])
    with closing(forward(CLIP, model, ReconstructOptions(start_s=3.5, max_frames=4))) as events:
        assert next(events).turn == Turn()
