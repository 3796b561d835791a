"""The focal length of degraded copies: the copies, and layers that read them alike."""

from __future__ import annotations

import numpy as np
import torch

from human3r.models.layers.blocks import Mlp
from human3r.training.scene.degradation import degrade
from human3r.training.scene.focal_pairs import FocalPairs, refine_focal, scores

DIM = 32


def pairs(generator: torch.Generator) -> FocalPairs:
    """Tokens whose first number is the focal length; those of copies differ in the second."""
    tokens = torch.randn(400, 1, DIM, generator=generator).repeat(1, 4, 1)
    log_focal = 0.3 * torch.tanh(tokens[:, 0, 0])
    tokens[:, 1:, 1] += 2 * torch.rand(400, 3, generator=generator)
    return FocalPairs(tokens, log_focal, torch.arange(400) % 2 == 0)


def test_a_copy_is_the_same_picture_with_less_detail() -> None:
    generator = np.random.default_rng(0)
    image = np.kron(generator.integers(30, 220, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    differences = []
    for _ in range(20):
        copy = degrade(image, generator)
        assert copy.shape == image.shape
        assert copy.dtype == np.uint8
        differences.append(np.abs(copy.astype(float) - image).mean())
    assert 1 < np.mean(differences) < 20


def test_the_layers_read_copies_like_the_image_and_stay_right() -> None:
    generator = torch.Generator().manual_seed(0)
    shown, held_out = pairs(generator), pairs(generator)
    torch.manual_seed(0)
    head = Mlp(DIM, 64, 1)
    with torch.no_grad():
        # Layers that are right about images and take the sign of a copy for a longer lens.
        for values in (head.expand.bias, head.contract.weight, head.contract.bias):
            values.zero_()
        head.expand.weight[:4] = 0.0
        head.expand.weight[0, 0] = head.expand.weight[2, 1] = 1.0
        head.expand.weight[1, 0] = head.expand.weight[3, 1] = -1.0
        head.contract.weight[0, :4] = torch.tensor([0.3, -0.3, 0.1, -0.1])
    before = scores(head, held_out)

    refine_focal(head, shown, steps=200)

    after = scores(head, held_out)
    assert after["difference"] < 0.6 * before["difference"]
    assert after["copies_error"] < before["copies_error"]
    assert after["error"] < 1.2 * before["error"]
