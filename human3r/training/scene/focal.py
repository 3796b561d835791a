"""``python -m human3r.training.scene.focal CONFIG.toml``: fit the two layers of the focal length alone.

Their input is one vector per image, computed once for thousands of full-size images. Updates the averaged weights in
the checkpoint of the run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from human3r.errors import run_main
from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.compact.scene.point_head import MAX_LOG_FOCAL, CompactPointHead, pooled_tokens
from human3r.models.human3r import Human3R
from human3r.training.clip import clip_folders
from human3r.training.scene.batches import SceneSample, read_sample
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.train import SceneTrainer
from human3r.training.settings import read_settings

_NAME = "point_head.focal."
NUM_IMAGES, _BATCH, _RATE, _DECAY = 10_000, 256, 1.0e-3, 0.05
MIN_CROP = 0.7
"""Every second image is cropped to between this share of its sides and all of them."""
DROPOUT = 0.3
"""Dropout rate of the inputs and of the hidden layer."""
_BIN = 0.1
"""Width, in log focal length, of the bins of ``balancing_weights``."""


@torch.no_grad()
def focal_example(network: Human3R, sample: SceneSample) -> tuple[Tensor, Tensor]:
    """Return ``F D`` pooled tokens and ``F`` logarithms of the true focal length over the prior's."""
    with torch.autocast("cpu", torch.bfloat16):
        features = network.image_encoder(sample.image.contiguous(memory_format=torch.channels_last))
    pooled = pooled_tokens(features.tokens, features.grid)
    return pooled, (sample.focal_px / prior_focal_px(sample.size)).log()


def balancing_weights(log_focal: Tensor, is_whole: Tensor) -> Tensor:
    """Return ``N`` sampling weights that give focal lengths the distribution of the uncropped images.

    Cropping shifts focal lengths upwards, and the head learns the distribution as a prior.
    """
    bins = ((log_focal + MAX_LOG_FOCAL) / _BIN).round().long().clamp(min=0)
    wanted = torch.bincount(bins[is_whole], minlength=int(bins.max()) + 1)
    present = torch.bincount(bins).clamp(min=1)
    return (wanted / present)[bins]


def fit_focal(network: Human3R, tokens: Tensor, log_focal: Tensor, weights: Tensor, steps: int = 900) -> None:
    """Retrain the focal layers on ``N D`` tokens, sampled by ``N`` weights; many more steps overfit."""
    head = cast(CompactPointHead, network.point_head).focal.float().requires_grad_()
    head.expand.reset_parameters()
    head.contract.reset_parameters()
    mean, spread = tokens.mean(0), tokens.std(0).clamp(min=1e-6)
    tokens = (tokens - mean) / spread
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    torch.manual_seed(0)
    for _ in range(steps):
        chosen = torch.multinomial(weights, _BATCH, replacement=True)
        hidden = head.activation(head.expand(functional.dropout(tokens[chosen], DROPOUT)))
        output = head.contract(functional.dropout(hidden, DROPOUT))[:, 0]
        error = MAX_LOG_FOCAL * torch.tanh(output) - log_focal[chosen]
        optimizer.zero_grad()
        error.abs().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        # Fold the normalization into the first layer.
        head.expand.weight /= spread
        head.expand.bias.sub_(head.expand.weight @ mean)


def main() -> None:
    """Fit on random single images of the run's clips, half of them cropped, and save the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.scene.focal", description=__doc__)
    parser.add_argument("config", type=Path, help="the run's .toml")
    config = read_settings(SceneTraining, parser.parse_args().config)
    trainer, generator = SceneTrainer(config), np.random.default_rng(config.seed)
    network = trainer.averaged_network()
    folders = clip_folders(Path(config.clips) / "train")
    pairs = []
    for index in range(NUM_IMAGES):
        folder = folders[int(generator.integers(len(folders)))]
        pairs.append(focal_example(network, read_sample(folder, 1, 1.0, generator, MIN_CROP if index % 2 else 1.0)))
    tokens, log_focal = (torch.cat(values) for values in zip(*pairs, strict=True))
    is_whole = torch.arange(NUM_IMAGES) % 2 == 0
    fit_focal(network, tokens, log_focal, balancing_weights(log_focal, is_whole))
    for name, values in cast(CompactPointHead, network.point_head).focal.named_parameters():
        trainer.average[_NAME + name] = values.detach().clone()
    trainer.save()


if __name__ == "__main__":
    run_main(main)
