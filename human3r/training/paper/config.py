"""Settings of one run of the paper's training, read from TOML; unknown keys are errors.

Defaults are the paper's, or the released code's where the two differ; every such choice is a named option.
Source: Human3R (arXiv 2510.06219), sec. 4 and supplement; its released configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from human3r.errors import InputError
from human3r.models.config import PRESETS

Tuned = Literal["prompts", "prompts_and_decoder", "everything"]
IMAGE_SIZES: tuple[tuple[int, int], ...] = (
    *((384, 512), (336, 512), (288, 512), (256, 512), (208, 512), (144, 512)),
    *((512, 384), (512, 336), (512, 288), (512, 256)),
)
"""(height, width) of the network images. Source: the released configuration."""
IMAGE_SIZE_WEIGHTS: tuple[float, ...] = (2, 2, 2, 2, 2, 1, 1, 1, 1, 1)


@dataclass(frozen=True)
class DataSettings:
    """Where clips come from and how they are drawn."""

    root: str = "data/bedlam"
    """Folder with ``Training`` and ``Test``, each with one folder per sequence (see ``training.paper.data.layout``)."""
    excluded_sequences: tuple[str, ...] = ()
    """Names, or shell patterns of names, of sequences that are left out."""
    clips_per_epoch: int = 4000
    validation_clips: int = 1000
    validation_size: tuple[int, int] = (288, 512)
    """(height, width) of validation images."""
    image_sizes: tuple[tuple[int, int], ...] = IMAGE_SIZES
    """(height, width), multiples of 16; one is drawn per batch."""
    image_size_weights: tuple[float, ...] = IMAGE_SIZE_WEIGHTS
    """How often each size is drawn, relative to the others."""
    max_people: int = 10
    """Prompt slots per image; nearer people come first, the rest is not supervised."""
    ray_probability: float = 0.15
    """Probability that a view after the first also gets its true ray map."""
    max_crop_enlargement: int = 15
    """Largest number of pixels that an image is rescaled beyond its target before the final crop."""
    color_jitter: bool = True
    """Brightness, contrast and saturation by 0.5 to 1.5, hue by up to 0.1 of the circle; one draw per clip."""
    workers: int = 8
    """Data loader processes per training process; 0 loads in the training process."""


@dataclass(frozen=True)
class LossSettings:
    """Weight of every term of the loss; 0 leaves a term out. Terms: ``training.paper.losses``."""

    confidence: float = 1.0
    """Pointmaps with confidence (which includes a factor 2), no unit."""
    confidence_price: float = 0.2
    """Weight of the log-confidence regularizer in that term."""
    camera: float = 1.0
    """Camera translation over scene scale, plus quaternion distance."""
    rgb: float = 1.0
    """Squared color difference in [-1, 1]."""
    detection: float = 0.1
    mask: float = 1.0
    rotations: float = 1.0
    betas: float = 0.1
    head: float = 1.0
    """Head joint in the camera frame, meters."""
    joints_local: float = 1.0
    """Joints relative to the body's own pelvis, meters."""
    vertices_local: float = 1.0
    joints: float = 1.0
    """Joints in the camera frame, meters."""
    vertices: float = 1.0
    joints_uv: float = 0.01
    """Projected joints, pixels of the network image."""
    vertices_uv: float = 0.01
    uv_below_m: float = 1.0
    """The projected terms count only where the vertex term in the camera frame is below so many meters."""


@dataclass(frozen=True)
class VariantSettings:
    """Choices in which the paper, its ablations and the released code differ."""

    tuned: Tuned = "prompts"
    """``prompts``: the paper's 67.68 M (L). ``prompts_and_decoder``: its ablation. ``everything``: from scratch."""
    detection_head: Literal["frozen", "tuned"] = "frozen"
    """``frozen`` is the code (the detection loss is then only logged); ``tuned`` is the paper's text."""
    detection_loss: Literal["focal", "bce"] = "focal"
    """``focal`` is the code, ``bce`` the paper."""
    mask_source: Literal["human", "image"] = "human"
    """``human`` is the code: 14x14 pixels from each token of the human stream. ``image`` is the paper's text: 16x16
    from each token of the image encoder."""
    truncated_heads: Literal["drop", "clamp"] = "drop"
    """A head outside of the image. ``drop`` is the code: out of the square it is dropped, in the black border it stays
    there. ``clamp`` is the paper: it is supervised at the closest visible point."""
    clipping: Literal["tuned", "reference"] = "tuned"
    """``tuned`` clips the gradient of what is tuned. ``reference`` is the code: parts that only pass gradients on
    accumulate them over the whole run, and the norm includes that sum."""
    truth_betas: Literal[10, 11] = 11
    """Shape coefficients of the true bodies; predictions have 10. A body without an 11th direction ignores it."""


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW, its schedule, and the arithmetic."""

    epochs: int = 40
    warmup_epochs: float = 5.0
    """Epochs over which the learning rate rises from 0; a cosine takes it down to ``min_learning_rate``."""
    learning_rate: float = 1e-4
    min_learning_rate: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    """For tensors of two dimensions or more; biases and other vectors have none."""
    batch: int = 8
    """Clips per process and step."""
    accumulation: int = 1
    """Batches whose gradients are averaged for one iteration."""
    clip_norm: float = 1.0
    precision: Literal["bf16", "fp32"] = "bf16"
    """Arithmetic of encoders, prompts, memory and decoder; heads and losses are always fp32."""
    use_tf32: bool = True
    """Let NVIDIA GPUs multiply fp32 with 10 bits of mantissa."""
    gradient_checkpointing: bool = True
    """Recompute decoder and dense heads in the backward pass instead of keeping their activations."""


@dataclass(frozen=True)
class InitialSettings:
    """Initial weights. Empty paths give seeded random weights, for tests of the pipeline only."""

    cut3r: str = ""
    """CUT3R's ``cut3r_512_dpt_4_64.pth``."""
    multi_hmr: str = ""
    """Multi-HMR's ``multiHMR_896_L.pt``, ``multiHMR_672_{S,B,L}.pt``."""
    mean_body: str = ""
    """The ``smpl_mean_params.npz`` of the SMPL literature (``pose`` 24x6, ``shape`` 10); empty: identity and zeros."""
    unused_prefixes: tuple[str, ...] = ("x_attention_head.", "smpl_layer.")
    """Keys of Multi-HMR's file that are ignored; any other unused key of either file is an error."""


@dataclass(frozen=True)
class PaperTraining:
    """Settings of a run."""

    model: str = "human3r_896l"
    """A preset of ``human3r.models.config``."""
    body: str = ""
    """Licensed ``SMPLX_NEUTRAL.npz``; empty takes the embedded body."""
    output: str = "runs/paper"
    """Folder for checkpoints, log and weights; a folder with ``last.safetensors`` is resumed."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: int = 100
    """Iterations between lines of ``log.jsonl``."""
    checkpoint_every: int = 500
    """Iterations between writes of ``last.safetensors``, which is also written after every epoch."""
    keep_every: int = 5
    """Epochs between numbered copies of the tuned part; 0 keeps none."""
    data: DataSettings = field(default_factory=DataSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    variant: VariantSettings = field(default_factory=VariantSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    initial: InitialSettings = field(default_factory=InitialSettings)


def check_settings(settings: PaperTraining) -> None:
    """Check what types do not: ``read_settings`` has checked those, choices included.

    Raises:
        InputError: The model is unknown, a size does not fit the network, or a number is out of its range.
    """
    if settings.model not in PRESETS:
        raise InputError(f"The setting model is {settings.model!r}.", f"Known: {', '.join(PRESETS)}.")
    data, optimizer = settings.data, settings.optimizer
    if not data.image_sizes or len(data.image_sizes) != len(data.image_size_weights):
        raise InputError(
            f"There are {len(data.image_sizes)} image sizes and {len(data.image_size_weights)} weights for them."
        )
    for size in (*data.image_sizes, data.validation_size):
        if len(size) != 2 or any(side % 16 or side <= 0 for side in size):
            raise InputError(f"The image size {tuple(size)} is not two multiples of 16.")
    positive = {
        "data.clips_per_epoch": data.clips_per_epoch,
        "data.max_people": data.max_people,
        "optimizer.epochs": optimizer.epochs,
        "optimizer.batch": optimizer.batch,
        "optimizer.accumulation": optimizer.accumulation,
        "log_every": settings.log_every,
        "checkpoint_every": settings.checkpoint_every,
    }
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"The setting {name} is {value}, it must be 1 or more.")
