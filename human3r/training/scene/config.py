"""Settings of one scene training run, read from TOML; unknown keys are errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneTraining:
    """Settings of a run."""

    clips: str = "runs/synthetic/clips"
    """Folder with ``train/`` and ``val/`` of rendered clips; new clips are picked up during training."""
    output: str = "runs/scene"
    """Folder for the checkpoint, the log and the validation table."""
    start: str = ""
    """A checkpoint whose weights the run starts from; empty starts from the frozen trunks and random heads."""
    minutes: float = 60.0
    """Training time; the cosine schedule spans it."""
    steps: int = 0
    """Length of the run in steps; 0 uses ``minutes``."""
    frames: int = 4
    """Frames of one clip through the recurrence."""
    clips_per_step: int = 2
    """Clips per batch, all of one image size."""
    learning_rate: float = 1.0e-3
    trunk_rate: float = 0.1
    """Learning rate of the image trunk's upper blocks over that of the rest; 0 freezes them."""
    weight_decay: float = 0.02
    warmup_steps: int = 50
    ema: float = 0.995
    gradient_clip: float = 1.0
    scales: tuple[float, ...] = (0.5, 0.5, 0.667, 0.667, 1.0)
    """Image sizes over the rendered size, drawn per step; sides stay multiples of 32."""
    final_share: float = 0.0
    """Last share of the run that uses ``final_scales`` and ``final_clips_per_step``: fine detail needs full size."""
    final_scales: tuple[float, ...] = (1.0,)
    final_clips_per_step: int = 2
    min_crop: float = 0.7
    """Smallest share of the sides that clips are cropped to, which varies the focal length."""
    metric_weight: float = 0.3
    shape_weight: float = 1.0
    confidence_weight: float = 0.1
    gradient_weight: float = 0.5
    focal_weight: float = 0.3
    mask_weight: float = 1.0
    sky_weight: float = 0.05
    confidence_price: float = 0.5
    """CUT3R (arXiv 2501.12387), eq. 6, uses .2; errors here are larger, and at .2 confidence stays at its minimum."""
    validate_minutes: float = 12.0
    validation_clips: int = 24
    checkpoint_minutes: float = 3.0
    use_bf16: bool = True
    """bfloat16 matrix products; faster on CPUs with AMX or AVX-512 BF16."""
    seed: int = 0
