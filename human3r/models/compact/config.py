"""Sizes of the parts that only ``compact`` has, and its preset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of the compact parts; every decoder size is in ``TrunkConfig``."""

    encoder_depth: int = 2
    """Transformer blocks on the stride-16 features of the frozen trunk."""
    encoder_heads: int = 4
    second_scale_px: int = 512
    """Long side of the second look for small people; 0 looks once."""
    lifter_dim: int = 640
    lifter_depth: int = 4
    prompt_hidden: int = 256
    point_dim: int = 64
    """Channels of the point head at stride 8."""
