"""``python -m human3r.training.scene.focal CONFIG.toml``: fit the focal length's two layers alone, the rest fixed.

Their input is one vector per picture, so thousands of full-size pictures cost minutes once and every step after that
nothing. Changes the averaged weights in the run's checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.compact.scene.point_head import MAX_LOG_FOCAL, pooled_tokens
from human3r.models.human3r import Human3R
from human3r.training.scene.batches import SceneSample, read_sample
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.train import SceneTrainer
from human3r.training.settings import read_settings
from human3r.training.synthetic.clip import clip_folders

_NAME = "point_head.focal."
_NUM_PICTURES, _BATCH, _RATE, _DECAY = 10_000, 256, 1.0e-3, 0.05
_LEAST_ZOOM = 0.7
"""Every second picture is cut to between this share of its sides and all of them."""
_DROPPED = 0.3
"""Share of the inputs, and of the values between the layers, that each step leaves out."""
_BIN = 0.1
"""Width of the bins, in logarithms, over which cut pictures come as often as whole ones."""


@torch.no_grad()
def focal_example(network: Human3R, sample: SceneSample) -> tuple[Tensor, Tensor]:
    """Return ``F D`` pooled tokens and ``F`` logarithms of the true focal length over the prior's."""
    with torch.autocast("cpu", torch.bfloat16):
        features = network.image_encoder(sample.image.contiguous(memory_format=torch.channels_last))
    pooled = pooled_tokens(features.tokens, features.grid)
    return pooled, (sample.focal_px / prior_focal_px(tuple(sample.image.shape[-2:]))).log()


def balancing_weights(log_focal: Tensor, is_whole: Tensor) -> Tensor:
    """Return ``N`` weights with which every focal length comes as often as among the whole pictures.

    What the head does not know, it takes from how often each focal length is, and cutting makes all of them longer.
    """
    bins = ((log_focal + MAX_LOG_FOCAL) / _BIN).round().long().clamp(min=0)
    wanted = torch.bincount(bins[is_whole], minlength=int(bins.max()) + 1)
    present = torch.bincount(bins).clamp(min=1)
    return (wanted / present)[bins]


def fit_focal(network: Human3R, tokens: Tensor, log_focal: Tensor, weights: Tensor, steps: int = 900) -> None:
    """Train the focal layers afresh on ``N D`` tokens, drawn by ``N`` weights; many steps fit the pictures only."""
    head = network.point_head.focal.float().requires_grad_()
    head.expand.reset_parameters()
    head.contract.reset_parameters()
    mean, spread = tokens.mean(0), tokens.std(0).clamp(min=1e-6)
    tokens = (tokens - mean) / spread
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    torch.manual_seed(0)
    for _ in range(steps):
        chosen = torch.multinomial(weights, _BATCH, replacement=True)
        hidden = head.activation(head.expand(functional.dropout(tokens[chosen], _DROPPED)))
        output = head.contract(functional.dropout(hidden, _DROPPED))[:, 0]
        error = MAX_LOG_FOCAL * torch.tanh(output) - log_focal[chosen]
        optimizer.zero_grad()
        error.abs().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        # The first layer takes over the normalization.
        head.expand.weight /= spread
        head.expand.bias -= head.expand.weight @ mean


def main(path: str) -> None:
    """Fit on random single pictures of the run's clips, half of them cut, and save the checkpoint."""
    config = read_settings(SceneTraining, path)
    trainer, generator = SceneTrainer(config), np.random.default_rng(config.seed)
    network = trainer.averaged_network()
    folders = clip_folders(Path(config.clips) / "train")
    pairs = []
    for index in range(_NUM_PICTURES):
        folder = folders[int(generator.integers(len(folders)))]
        pairs.append(focal_example(network, read_sample(folder, 1, 1.0, generator, _LEAST_ZOOM if index % 2 else 1.0)))
    tokens, log_focal = (torch.cat(values) for values in zip(*pairs, strict=True))
    is_whole = torch.arange(_NUM_PICTURES) % 2 == 0
    fit_focal(network, tokens, log_focal, balancing_weights(log_focal, is_whole))
    for name, values in network.point_head.focal.named_parameters():
        trainer.average[_NAME + name] = values.detach().clone()
    trainer.save()


if __name__ == "__main__":
    main(sys.argv[1])
