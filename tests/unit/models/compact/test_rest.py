"""What a standing camera makes redundant: when frames are left out, and what holds for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from human3r.models.compact.scene.rest import RestingScene, RestState
from human3r.models.parts import BatchRecord, DecodedFrame, Detections, FrameTokens, ImageFeatures, ScenePoints

HEIGHT, WIDTH = 96, 128
PEOPLE = torch.tensor([[0.0, 0.0], [50.0, 0.0]])
"""Track features, further apart than the tracker's dustbin."""


def picture(shift_px: float = 0.0) -> torch.Tensor:
    y, x = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH) - shift_px
    return (0.4 * torch.sin(x / 9.0) + 0.4 * torch.cos((x + y) / 13.0))[None, None]


def mask(left: int | None = 20) -> torch.Tensor:
    found = torch.zeros(HEIGHT, WIDTH)
    if left is not None:
        found[30:80, left : left + 16] = 1.0
    return found


def people(features: torch.Tensor) -> Detections:
    count = len(features)
    zeros = torch.zeros(count, 2)
    return Detections(torch.ones(count), zeros, zeros, zeros, zeros.long(), track_features=features)


def frame_tokens(gray: torch.Tensor, person_mask: torch.Tensor) -> FrameTokens:
    image = ImageFeatures(torch.zeros(1, 4, 2), (2, 2), (gray,))
    return FrameTokens(image, BatchRecord(), (HEIGHT, WIDTH), person_mask)


def whole(state: RestState | None, gray: torch.Tensor, features: torch.Tensor = PEOPLE) -> RestState:
    """Return the state after a frame through the whole network, whose human tokens are the track features."""
    tokens = frame_tokens(gray, mask())
    frame = DecodedFrame((), features[:0], features, tokens.image, tokens.human, people(features), tokens.image_size)
    points = ScenePoints(torch.ones(HEIGHT, WIDTH, 3), torch.full((HEIGHT, WIDTH), 2.0), torch.tensor(100.0))
    remembered = RestingScene().remember(frame, points, mask(), torch.eye(4), state)
    assert remembered is not None
    return remembered


@pytest.fixture(scope="module")
def rested() -> RestState:
    state = None
    for _ in range(12):
        state = whole(state, picture())
    assert state is not None
    return state


def test_a_camera_that_stands_has_four_of_five_frames_left_out(rested) -> None:
    rest, state, left_out = RestingScene(), rested, []
    for _ in range(10):
        is_left_out = rest.recall(frame_tokens(picture(), mask()), people(PEOPLE), state) is not None
        state = rest.left_out(state) if is_left_out else whole(state, picture())
        left_out.append(is_left_out)

    assert left_out == [True, True, True, True, False] * 2


def test_no_frame_is_left_out_before_the_camera_has_stood_for_a_while() -> None:
    state = whole(whole(None, picture()), picture())

    assert RestingScene().recall(frame_tokens(picture(), mask()), people(PEOPLE), state) is None
    assert RestingScene().recall(frame_tokens(picture(), mask()), people(PEOPLE), None) is None


@pytest.mark.parametrize(("shift_px", "is_left_out"), [(0.0, True), (0.05, True), (0.2, False), (1.5, False)])
def test_motion_of_a_fifth_of_a_pixel_is_noticed(rested, shift_px: float, is_left_out: bool) -> None:
    kept = RestingScene().recall(frame_tokens(picture(shift_px), mask()), people(PEOPLE), rested)

    assert (kept is not None) == is_left_out
    assert (whole(rested, picture(shift_px)).resting == rested.resting) == is_left_out


def test_people_keep_their_tokens_and_a_new_one_needs_the_network(rested) -> None:
    rest, tokens = RestingScene(), frame_tokens(picture(), mask())

    swapped = rest.recall(tokens, people(PEOPLE.flip(0) + 0.5), rested)
    alone = rest.recall(tokens, people(PEOPLE[1:]), rested)
    nobody = rest.recall(tokens, people(PEOPLE[:0]), rested)

    assert swapped is not None
    assert alone is not None
    assert nobody is not None
    assert torch.equal(swapped.human_tokens, PEOPLE.flip(0))
    assert torch.equal(alone.human_tokens, PEOPLE[1:])
    assert len(nobody.human_tokens) == 0
    assert rest.recall(tokens, people(PEOPLE + 20.0), rested) is None
    assert rest.recall(tokens, people(torch.cat([PEOPLE, PEOPLE + 100.0])), rested) is None


def test_what_people_have_uncovered_or_covered_since_is_not_trusted(rested) -> None:
    kept = RestingScene().recall(frame_tokens(picture(), mask(left=24)), people(PEOPLE), rested)

    assert kept is not None
    changed = mask() != mask(left=24)
    assert torch.equal(kept.points.confidence == 0, changed)
    assert torch.equal(rested.points.confidence, torch.full((HEIGHT, WIDTH), 2.0))


def test_another_size_of_the_picture_needs_the_network(rested) -> None:
    small = replace(frame_tokens(picture()[..., :64], mask()[:, :64]), image_size=(HEIGHT, 64))

    assert RestingScene().recall(small, people(PEOPLE), rested) is None
