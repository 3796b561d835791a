"""Soft and compressed copies of a picture have the focal length of the picture."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
import torch
from torch.nn import functional

from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.models.compact.build import build_compact
from human3r.models.compact.scene.point_head import CompactPointHead, contrast_ratio, pooled_tokens, softness_correction
from human3r.models.human3r import Human3R
from human3r.training.scene.degradation import resized
from human3r.training.scene.focal_pairs import predicted
from human3r.training.synthetic.rendering.sensor import through_h264
from human3r.video.preprocess import prepare_compact

EXAMPLES = Path(__file__).parents[5] / "examples"


def squares() -> torch.Tensor:
    """Return squares of 4 pixels, ``1 1 96 128``."""
    coarse = torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    return coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


def test_the_softer_a_picture_the_shorter_the_corrected_focal_length() -> None:
    sharp = squares()
    corrections = []
    for scale in (1.0, 0.9, 0.7, 0.45):
        small = functional.interpolate(sharp, scale_factor=scale, mode="bilinear", antialias=True)
        copy = functional.interpolate(small, sharp.shape[-2:], mode="bilinear")
        corrections.append(float(softness_correction(copy)))

    assert corrections == sorted(corrections, reverse=True)
    assert -0.04 < corrections[-1] < corrections[0] - 0.05


def test_contrast_and_brightness_do_not_matter_and_a_picture_may_be_black() -> None:
    sharp = squares()

    torch.testing.assert_close(contrast_ratio(0.3 * sharp + 0.4), contrast_ratio(sharp), rtol=1e-3, atol=0)
    assert float(contrast_ratio(torch.zeros(1, 1, 96, 128))) == 1


@pytest.fixture(scope="module")
def network() -> Human3R:
    return build_compact(read_shards(COMPACT_FOLDER))


@torch.inference_mode()
def log_focal(network: Human3R, picture: np.ndarray) -> float:
    image = prepare_compact(picture).image[None]
    features = network.image_encoder(image.contiguous(memory_format=torch.channels_last))
    head = cast(CompactPointHead, network.point_head)
    found = predicted(head.focal, pooled_tokens(features.tokens, features.grid))
    return float(found + softness_correction(features.pyramid[0]))


@pytest.mark.parametrize("name", ["sports2d_walk_and_flip", "pose2sim_two_people_portrait"])
def test_a_picture_has_one_lens_alone_and_in_the_bars_of_a_small_compressed_clip(network: Human3R, name: str) -> None:
    with av.open(str(EXAMPLES / f"{name}.mp4")) as clip:
        (picture,) = (frame.to_ndarray(format="rgb24") for frame in islice(clip.decode(video=0), 1))
    height, width = picture.shape[:2]
    # The short side of a frame of 360 x 640 holds the long side of the picture.
    small = resized(picture, tuple(2 * round(180 * side / max(height, width)) for side in (height, width)))
    margins = [((640 - side) // 4 * 2,) * 2 if side < 360 else (0, 0) for side in small.shape[:2]]
    framed = through_h264(np.pad(small, [*margins, (0, 0)])[None], crf=26)[0]
    top, left = (margin[0] for margin in margins)
    inside = framed[top : top + small.shape[0], left : left + small.shape[1]]

    # Without the correction and with the former layers .08 and .09.
    assert abs(log_focal(network, inside) - log_focal(network, picture)) < 0.05
