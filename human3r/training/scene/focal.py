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

from human3r.models.compact.point_head import MAX_LOG_FOCAL, pooled_tokens
from human3r.models.compact.prompter import prior_focal_px
from human3r.models.human3r import Human3R
from human3r.training.scene.batches import SceneSample, read_sample
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.train import SceneTrainer
from human3r.training.settings import read_settings
from human3r.training.synthetic.clip import clip_folders

_NAME = "point_head.focal."
_NUM_PICTURES, _BATCH, _RATE, _DECAY = 6000, 256, 1.0e-3, 0.05


@torch.no_grad()
def focal_example(network: Human3R, sample: SceneSample) -> tuple[Tensor, Tensor]:
    """Return ``F D`` pooled tokens and ``F`` logarithms of the true focal length over the prior's."""
    with torch.autocast("cpu", torch.bfloat16):
        features = network.image_encoder(sample.image.contiguous(memory_format=torch.channels_last))
    pooled = pooled_tokens(features.tokens, features.grid)
    return pooled, (sample.focal_px / prior_focal_px(tuple(sample.image.shape[-2:]))).log()


def fit_focal(network: Human3R, tokens: Tensor, log_focal: Tensor, steps: int = 600) -> None:
    """Train the focal layers afresh on ``N D`` tokens; more steps fit the pictures, not the lens."""
    head = network.point_head.focal.float().requires_grad_()
    head.expand.reset_parameters()
    head.contract.reset_parameters()
    mean, spread = tokens.mean(0), tokens.std(0).clamp(min=1e-6)
    tokens = (tokens - mean) / spread
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(tokens), (_BATCH,), generator=generator)
        error = MAX_LOG_FOCAL * torch.tanh(head(tokens[chosen])[:, 0]) - log_focal[chosen]
        optimizer.zero_grad()
        error.abs().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        # The first layer takes over the normalisation.
        head.expand.weight /= spread
        head.expand.bias -= head.expand.weight @ mean


def main(path: str) -> None:
    """Fit on random single pictures of the run's clips, whole, and save the checkpoint.

    Cut pictures would teach longer lenses than there are: what the head does not know, it takes from how often each is.
    """
    config = read_settings(SceneTraining, path)
    trainer, generator = SceneTrainer(config), np.random.default_rng(config.seed)
    network = trainer.averaged_network()
    folders = clip_folders(Path(config.clips) / "train")
    pairs = []
    for _ in range(_NUM_PICTURES):
        folder = folders[int(generator.integers(len(folders)))]
        pairs.append(focal_example(network, read_sample(folder, 1, 1.0, generator)))
    tokens, log_focal = (torch.cat(values) for values in zip(*pairs, strict=True))
    fit_focal(network, tokens, log_focal)
    for name, values in network.point_head.focal.named_parameters():
        trainer.average[_NAME + name] = values.detach().clone()
    trainer.save()


if __name__ == "__main__":
    main(sys.argv[1])
