"""``python -m human3r.training.scene.focal_pairs CLIPS TOKENS [--ship]``: a focal length that compression leaves alone.

The two layers of the focal length are trained on, from the shipped ones, on rendered images (``CLIPS/NNNNNN``) and
degraded copies of each: all are compared with the true focal length, and with what the shipped layers read from the
image itself. ``TOKENS`` keeps the pooled tokens, so that a further run computes those of new clips only.
"""

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from human3r.assets.shards import COMPACT_FOLDER, read_shards, replace_parameters
from human3r.atomic import whole_or_absent
from human3r.errors import run_main
from human3r.models.compact.build import build_compact
from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.compact.scene.point_head import MAX_LOG_FOCAL, CompactPointHead, pooled_tokens
from human3r.models.human3r import Human3R
from human3r.models.layers.blocks import Mlp
from human3r.records import TensorRecord, concatenate
from human3r.training.clip import clip_folders, read_clip
from human3r.training.scene.batches import augment_colors, build_sample, crop_center, mirror, network_size
from human3r.training.scene.degradation import degrade
from human3r.training.scene.focal import balancing_weights

NUM_COPIES, MIN_CROP, _COLOR_SHARE = 3, 0.7, 0.3
"""Degraded copies per image; smallest crop; share of the copies with other colors."""
HELD_OUT_EVERY = 8
"""Every 8th place is scored instead of trained on."""
DROPOUT, _BATCH, _RATE, _DECAY, _STEPS = 0.3, 128, 1.0e-3, 0.01, 1200
_NEW_SHARE = 0.7
"""Share of the trained weights in the mean with those before: more fits thousands of images better than real ones."""


@dataclass(frozen=True)
class FocalPairs(TensorRecord):
    """N images in V copies; the first copy is the image itself."""

    tokens: Tensor
    """``N V D`` pooled tokens."""
    log_focal: Tensor
    """``N`` logarithm of the true focal length over the prior's."""
    is_whole: Tensor
    """``N``: not cropped."""


@torch.no_grad()
def focal_pairs(network: Human3R, folder: Path, generator: np.random.Generator) -> FocalPairs:
    """Encode the first image of a clip, twice: whole and cropped, each with its copies."""
    clip = read_clip(folder, (0,))
    size = network_size(clip.image.shape[1:3], 1.0)
    pairs = []
    for share in (1.0, float(generator.uniform(MIN_CROP, 1.0))):
        sample = build_sample(crop_center(clip, share), size)
        sample = mirror(sample) if generator.random() < 0.5 else sample
        pixels = sample.image[0].add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()
        images = [sample.image[0]]
        for _ in range(NUM_COPIES):
            image = torch.from_numpy(degrade(pixels, generator)).permute(2, 0, 1) / 127.5 - 1
            images.append(augment_colors(image[None], generator)[0] if generator.random() < _COLOR_SHARE else image)
        features = network.image_encoder(torch.stack(images).contiguous(memory_format=torch.channels_last))
        log_focal = (sample.focal_px / prior_focal_px(size)).log()
        is_whole = torch.tensor([share == 1.0])
        pairs.append(FocalPairs(pooled_tokens(features.tokens, features.grid)[None], log_focal, is_whole))
    return concatenate(pairs)


def read_pairs(network: Human3R, clips: Path, cache: Path) -> dict[str, FocalPairs]:
    """Return the pairs of every clip by its name, from ``cache`` where they are there."""
    cache.mkdir(parents=True, exist_ok=True)
    found = {}
    for folder in clip_folders(clips):
        path = cache / f"{folder.name}.npz"
        if not path.is_file():
            generator = np.random.default_rng([int(part) for part in folder.name.split("_")])
            pairs = focal_pairs(network, folder, generator)
            with whole_or_absent(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **{name: values.numpy() for name, values in vars(pairs).items()})
        with np.load(path, allow_pickle=False) as stored:
            found[folder.name] = FocalPairs(*(torch.from_numpy(stored[item.name]) for item in fields(FocalPairs)))
    return found


def refine_focal(head: Mlp, pairs: FocalPairs, steps: int = _STEPS) -> None:
    """Train the focal layers on; the result is a mean of the weights before and after."""
    shipped = copy.deepcopy(head.state_dict())
    read = predicted(head, pairs.tokens[:, 0]).detach()
    mean, spread = pairs.tokens.mean((0, 1)), pairs.tokens.std((0, 1)).clamp(min=1e-6)
    tokens, weights = (pairs.tokens - mean) / spread, balancing_weights(pairs.log_focal, pairs.is_whole)
    with torch.no_grad():
        head.expand.bias.add_(head.expand.weight @ mean)
        head.expand.weight.mul_(spread)
    optimizer = torch.optim.AdamW(head.requires_grad_().parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    torch.manual_seed(0)
    for _ in range(steps):
        chosen = torch.multinomial(weights, _BATCH, replacement=True)
        found = predicted(head, tokens[chosen], DROPOUT)
        from_truth = (found - pairs.log_focal[chosen, None]).abs().mean()
        from_shipped = (found - read[chosen, None]).abs()
        optimizer.zero_grad()
        (from_truth + from_shipped[:, 0].mean() + from_shipped[:, 1:].mean()).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        head.expand.weight.div_(spread)
        head.expand.bias.sub_(head.expand.weight @ mean)
        for name, values in head.named_parameters():
            values.lerp_(shipped[name], 1 - _NEW_SHARE)


def predicted(head: Mlp, tokens: Tensor, dropout: float = 0.0) -> Tensor:
    """Return the log focal lengths of ``... D`` tokens."""
    hidden = head.activation(head.expand(functional.dropout(tokens, dropout)))
    return MAX_LOG_FOCAL * torch.tanh(head.contract(functional.dropout(hidden, dropout))[..., 0])


@torch.no_grad()
def scores(head: Mlp, pairs: FocalPairs) -> dict[str, float]:
    """Return mean absolute log errors of images and copies, and the mean difference between both."""
    found = predicted(head, pairs.tokens)
    error = (found - pairs.log_focal[:, None]).abs()
    return {
        "error": float(error[:, 0].mean()),
        "copies_error": float(error[:, 1:].mean()),
        "difference": float((found[:, 1:] - found[:, :1]).abs().mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the tokens, train, print the table and write the weights where that is asked for."""
    parser = argparse.ArgumentParser(prog="human3r.training.scene.focal_pairs")
    parser.add_argument("clips", type=Path, help="folder of rendered clips")
    parser.add_argument("tokens", type=Path, help="folder for the pooled tokens of each clip")
    parser.add_argument("--ship", action="store_true", help="write the trained layers to the weights of compact")
    options = parser.parse_args(arguments)
    network = build_compact(read_shards(COMPACT_FOLDER))
    pairs = read_pairs(network, options.clips, options.tokens)
    is_held_out = {name: int(name.split("_")[0]) % HELD_OUT_EVERY == 0 for name in pairs}
    training, held_out = (
        concatenate([one for name, one in pairs.items() if is_held_out[name] == wanted]) for wanted in (False, True)
    )
    head = cast(CompactPointHead, network.point_head).focal
    before = scores(head, held_out)
    refine_focal(head, training)
    sys.stdout.write(f"{before}\n{scores(head, held_out)}\n")
    if options.ship:
        named = {f"point_head.focal.{name}": values for name, values in head.named_parameters()}
        replace_parameters(COMPACT_FOLDER, named)


if __name__ == "__main__":
    run_main(main)
