"""Learning rate, parameter groups and clipping. Source: Human3R (arXiv 2510.06219), released configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from human3r.training.loop import warmup_cosine
from human3r.training.paper.config import OptimizerSettings, VariantSettings
from human3r.training.paper.network import parameter_classes


def learning_rate(epoch: float, settings: OptimizerSettings) -> float:
    """Return the rate at a fractional epoch: linear warm-up from 0, then a half cosine to the minimum."""
    epochs, rate = settings.epochs, settings.learning_rate
    return rate * warmup_cosine(epoch / epochs, settings.warmup_epochs / epochs, settings.min_learning_rate / rate)


def tuned_parameters(trained: nn.Module, variant: VariantSettings) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, by name."""
    classes = parameter_classes(trained, variant)
    return {name: values for name, values in trained.named_parameters() if classes[name] == "tuned"}


def build_optimizer(parameters: dict[str, nn.Parameter], settings: OptimizerSettings) -> torch.optim.AdamW:
    """Return AdamW without weight decay on biases and other vectors."""
    decayed = [values for values in parameters.values() if values.ndim > 1]
    others = [values for values in parameters.values() if values.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    betas = (float(settings.betas[0]), float(settings.betas[1]))
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=betas)


def clip_gradients(trained: nn.Module, tuned: dict[str, nn.Parameter], settings: OptimizerSettings) -> Tensor:
    """Scale gradients to a norm of at most ``clip_norm`` and return the norm before.

    All parameters that hold a gradient take part: the tuned ones, and with ``variant.clipping = "reference"`` those
    whose gradients are never reset.
    """
    owners = [values for values in trained.parameters() if values.grad is not None]
    return torch.nn.utils.clip_grad_norm_(owners or list(tuned.values()), settings.clip_norm)
