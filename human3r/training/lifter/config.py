"""Settings of one training run of the lifter, read from TOML; unknown keys are errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from human3r.training.lifter.losses import LossWeights
from human3r.training.lifter.mixing import RenderedMix
from human3r.training.simulation.cameras import CameraMix
from human3r.training.simulation.detector import DetectorMix
from human3r.training.simulation.poses import PoseMix
from human3r.training.simulation.simulator import BodyMix, SequenceMix

ANNOTATION_OFFSETS_M: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.016, 0.0),
    (0.0, 0.012, 0.0),
    (0.0, 0.008, 0.008),
    (0.014, 0.024, -0.005),
    (0.0, 0.016, 0.0),
    (0.016, 0.0, 0.0),
    (0.044, 0.018, 0.0),
    (0.004, -0.031, 0.0),
    (0.009, 0.002, 0.012),
)
"""From the joints (the face: from the body's face points) to where annotators click: nose, then left eye, ear,
shoulder, elbow, wrist, hip, knee, ankle; the right side is mirrored. Axes of ``body_points.OFFSET_CARRIERS`` at rest,
meters. Source: MoveNet detects the hips of real people who face the camera .53 shoulder widths apart; the others are
residuals of a first training (knees 3 cm down, wrists 2 cm out, shoulders 1 cm up)."""


@dataclass(frozen=True)
class LifterTraining:
    """Settings of a run."""

    motion: str = ""
    """Folder of motion files; empty takes the clips of the package ``pybullet``."""
    body: str = ""
    """SMPL-X-format body; empty takes the embedded one."""
    output: str = "runs/lifter"
    """Folder for the checkpoint, the log and the weights."""
    start: str = ""
    """A checkpoint whose averaged weights the run starts from, or ``shipped`` for the lifter of ``compact``; empty
    starts fresh."""
    held_out: tuple[str, ...] = ()
    """Clips for validation only: names, or parts of names."""
    minutes: float = 60.0
    """Training time; the learning rate follows a cosine over it, so resuming does not change the end."""
    steps: int = 0
    """Length of the run in steps; 0 uses ``minutes``."""
    batch: int = 1024
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: float = 0.01
    """Share of the time over which the learning rate rises."""
    ema: float = 0.999
    width: int = 640
    depth: int = 4
    memory_width: int = 0
    """Length of a person's state; 0 trains a lifter without memory."""
    memory_only: bool = False
    """Train only the memory; the lifter of ``start`` is frozen."""
    seed: int = 0
    use_bf16: bool = True
    """bfloat16 products in the encoder; faster on CPUs with AMX or AVX-512 BF16."""
    validate_minutes: float = 5.0
    validation_people: int = 4096
    annotation_offsets_m: tuple[tuple[float, float, float], ...] = ANNOTATION_OFFSETS_M
    poses: PoseMix = field(default_factory=PoseMix)
    bodies: BodyMix = field(default_factory=BodyMix)
    cameras: CameraMix = field(default_factory=CameraMix)
    detector: DetectorMix = field(default_factory=DetectorMix)
    sequence: SequenceMix = field(default_factory=SequenceMix)
    rendered: RenderedMix = field(default_factory=RenderedMix)
    losses: LossWeights = field(default_factory=LossWeights)
