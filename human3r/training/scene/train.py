"""Training loop of the scene heads; it can be stopped and resumed at any step."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.errors import InputError
from human3r.models.build import build_network
from human3r.models.compact.build import COMPACT, use_fast_convolutions
from human3r.models.human3r import Human3R
from human3r.records import concatenate
from human3r.training.clip import clip_folders
from human3r.training.loop import (
    load_checkpoint,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    update_average,
    warmup_cosine,
)
from human3r.training.scene.batches import ClipPool, read_sample
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.losses import SceneLoss, scene_loss
from human3r.training.scene.network import TRUNK, run_clip, trainable_parameters
from human3r.training.scene.validate import validate

_LOG = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.safetensors"
_LOG_EVERY = 20
_REFRESH_EVERY = 100
"""Steps between searches for new clips."""


class SceneTrainer:
    """A training run: network, optimizer, weight average and progress."""

    def __init__(self, config: SceneTraining) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.network = start_network()
        self.parameters = trainable_parameters(self.network, config.trunk_rate > 0)
        self.optimizer = torch.optim.AdamW(_groups(self.parameters, config), betas=(0.9, 0.98))
        self.pool = ClipPool(Path(config.clips) / "train")
        self.average = {name: values.detach().clone() for name, values in self.parameters.items()}
        self.step = 0
        self.seconds = 0.0
        self.folder = Path(config.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def progress(self) -> float:
        """Return the share of the run that is done."""
        if self.config.steps:
            return self.step / self.config.steps
        return self.seconds / (60 * self.config.minutes)

    def run(self) -> None:
        """Train to the end of the run."""
        last_save = last_validation = begin = time.monotonic()
        offset = self.seconds
        while self.progress() < 1.0:
            losses = self._train_step()
            now = time.monotonic()
            self.seconds = offset + now - begin
            if self.step % _LOG_EVERY == 0:
                self._log({"step": self.step, "minutes": self.seconds / 60} | losses)
            if now - last_save > 60 * self.config.checkpoint_minutes:
                self.save()
                last_save = now
            if now - last_validation > 60 * self.config.validate_minutes:
                self.validate()
                last_validation = time.monotonic()
        self.save()
        self.validate()

    def _train_step(self) -> dict[str, float]:
        # One generator per step, so that a resumed run makes the same draws.
        generator = np.random.default_rng([self.config.seed, self.step])
        if self.step % _REFRESH_EVERY == 0:
            self.pool.refresh()
        if not self.pool.known:
            raise InputError("There are no rendered clips to train on.", "Run human3r.training.synthetic first.")
        config, is_final = self.config, self.progress() > 1 - self.config.final_share
        count = config.final_clips_per_step if is_final else config.clips_per_step
        scale = float(generator.choice(config.final_scales if is_final else config.scales))
        folders = self.pool.draw(count, generator)
        clips = [read_sample(folder, config.frames, scale, generator, config.min_crop) for folder in folders]
        sample = concatenate(clips)
        self.optimizer.zero_grad(set_to_none=True)
        prediction = run_clip(self.network, sample.image, count, config.use_bf16)
        loss = scene_loss(prediction.maps, prediction.mask_logits, sample, config, count)
        loss.total(config).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.gradient_clip)
        if bool(torch.isfinite(norm)):
            warm = min(1.0, (self.step + 1) / config.warmup_steps)
            rate = config.learning_rate * warm * warmup_cosine(self.progress(), 0.0)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["share"]
            self.optimizer.step()
        else:
            _LOG.warning("Step %d has a gradient that is not finite and is skipped.", self.step)
        update_average(self.average.values(), self.parameters.values(), self.step, config.ema)
        self.step += 1
        return _values(loss) | {"gradient_norm": float(norm)}

    def averaged_network(self) -> Human3R:
        """Return a copy of the network with the averaged weights."""
        network = start_network()
        network.load_state_dict(self.average, strict=False)
        return network.eval()

    def validate(self) -> None:
        """Write the scores of the averaged weights on the held-out clips."""
        folders = clip_folders(Path(self.config.clips) / "val")[: self.config.validation_clips]
        if not folders:
            return
        table = validate(self.averaged_network(), folders)
        (self.folder / "validation.json").write_text(json.dumps({"step": self.step} | table, indent=1))
        self._log({"step": self.step, "validation": table})

    def save(self) -> None:
        """Write the checkpoint."""
        groups = {
            "parameters": self.parameters,
            "average": self.average,
            "optimizer": optimizer_tensors(self.optimizer),
        }
        save_checkpoint(self.folder / CHECKPOINT, groups, step=self.step, seconds=self.seconds)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if path.is_file():
            groups, facts = load_checkpoint(path)
            self.network.load_state_dict(groups["parameters"], strict=False)
            self.average = groups["average"]
            load_optimizer(self.optimizer, groups["optimizer"])
            self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        elif self.config.start:
            groups, _ = load_checkpoint(Path(self.config.start))
            known = self.network.state_dict()
            # Parts of other shapes keep their initial weights.
            fitting = {
                name: values
                for name, values in groups["average"].items()
                if name in known and values.shape == known[name].shape
            }
            self.network.load_state_dict(fitting, strict=False)
            self.average = {name: values.detach().clone() for name, values in self.parameters.items()}

    def _log(self, entry: Mapping[str, object]) -> None:
        _LOG.info("%s", entry)
        with (self.folder / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(entry) + "\n")


def start_network() -> Human3R:
    """Return ``compact`` with the frozen trunks of the package and initial weights elsewhere."""
    network = build_network(COMPACT)
    expected = network.state_dict()
    frozen = ("human_prior.", "prompter.crop_detector.", "image_encoder.trunk.")
    shipped = {name: values for prefix in frozen for name, values in read_shards(COMPACT_FOLDER, prefix).items()}
    network.load_state_dict({name: values.to(expected[name].dtype) for name, values in shipped.items()}, strict=False)
    use_fast_convolutions(network)
    # Gradients of depthwise convolutions take half the time in fp32.
    network.image_encoder.trunk.float()
    return network


def _groups(parameters: dict[str, nn.Parameter], config: SceneTraining) -> list[dict[str, object]]:
    """Return the optimizer's groups: by decay, and by ``share`` of the learning rate."""
    groups = []
    for in_trunk, share in ((False, 1.0), (True, config.trunk_rate)):
        part = [values for name, values in parameters.items() if name.startswith(TRUNK) == in_trunk]
        for is_matrix, decay in ((True, config.weight_decay), (False, 0.0)):
            chosen = [values for values in part if (values.ndim > 1) == is_matrix]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "lr": config.learning_rate, "share": share})
    return groups


def _values(loss: SceneLoss) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in vars(loss).items()}
