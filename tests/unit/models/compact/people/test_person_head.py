"""Bodies are fitted with square pixels, and seen where the network image, squeezed by a few percent, has them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.person_head import KeypointPersonHead
from human3r.models.compact.people.prompter import KeypointDetections
from human3r.models.config import CompactConfig, TrunkConfig
from human3r.models.parts import PersonParameters
from human3r.training.motion import STANDARD_REST_JOINTS

_SIZE = (384, 224)
_CENTER = torch.tensor([112.0, 192.0])


@pytest.fixture(scope="module")
def head() -> KeypointPersonHead:
    torch.manual_seed(0)
    head = KeypointPersonHead(TrunkConfig(decoder_dim=8), CompactConfig(lifter_dim=16, lifter_depth=1, memory_width=0))
    head.lifter.points.joint_template.copy_(torch.from_numpy(STANDARD_REST_JOINTS))
    return head.eval()


def _lift(
    head: KeypointPersonHead, keypoints_px: Tensor, size: tuple[int, int] = _SIZE, aspect: float = 1.0
) -> PersonParameters:
    count = len(keypoints_px)
    found = ImageKeypoints(
        keypoints_px, torch.full((count, 17), 0.9), torch.ones(count), torch.zeros(count, 4), keypoints_px.mean(1)
    )
    nothing = torch.zeros(count, 0)
    detections = KeypointDetections(
        found.score, found.center_px, nothing, nothing, torch.zeros(count, 2, dtype=torch.int64), keypoints=found
    )
    frame: Any = SimpleNamespace(
        detections=detections, image_size=size, pixel_aspect=aspect, human_tokens=torch.zeros(count, 8)
    )
    points: Any = SimpleNamespace(focal_px=torch.tensor(300.0))
    with torch.inference_mode():
        return head(frame, points, None)[0]


def test_a_squeezed_image_shows_the_same_bodies(head: KeypointPersonHead) -> None:
    square_px = _CENTER + 40 * torch.randn(3, 17, 2, generator=torch.Generator().manual_seed(1))
    stretch = torch.tensor([2.0, 0.5])
    squeezed_px = (square_px - _CENTER) / stretch + torch.tensor([56.0, 384.0])
    one, other = _lift(head, square_px), _lift(head, squeezed_px, size=(768, 112), aspect=4.0)
    assert torch.allclose(one.joint_rotations, other.joint_rotations, atol=5e-3)
    assert torch.allclose(one.head_camera[:, :2] / stretch, other.head_camera[:, :2], atol=5e-3)
    assert torch.allclose(one.head_camera[:, 2], other.head_camera[:, 2], atol=5e-3)


def test_the_keypoints_that_bodies_rest_on_are_returned_in_pixels(head: KeypointPersonHead) -> None:
    pixels = _CENTER + 30 * torch.randn(2, 17, 2, generator=torch.Generator().manual_seed(2))
    keypoints = _lift(head, pixels).keypoints
    assert keypoints is not None
    assert torch.equal(keypoints[..., :2], pixels)
    assert keypoints[..., 2].max() <= 0.9
