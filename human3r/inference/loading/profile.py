"""What differs between architectures outside the network, as data: one ``ModelProfile`` per architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from human3r.errors import InputError
from human3r.inference.causal_filter import CausalFilterOptions
from human3r.inference.hands import HandOptions
from human3r.models.config import ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.layers.prepacked_linear import prepack_linears
from human3r.models.precision import Precision
from human3r.refinement.finishing import FinishOptions
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions
from human3r.refinement.world.fit import WITNESSES
from human3r.tracking.motion import MotionOptions

_MIN_PACKED_CHANNELS = 256
"""Channels of a token from which on packed matrices are faster."""


@dataclass(frozen=True)
class SessionOptions:
    """How a stream is run."""

    use_ttt3r: bool = False
    """Gate the update of each state token by its attention (arXiv 2509.26645): steadier on long clips."""
    reset_interval: int | None = None
    """Reset state and memory after this many frames and chain the segments; None never resets."""
    causal_filter: CausalFilterOptions | None = None
    """Filter the people over time; None returns them as the network predicts them."""

    def __post_init__(self) -> None:
        if self.reset_interval is not None and self.reset_interval < 2:
            raise InputError(f"The reset interval is {self.reset_interval}; it must be 2 or more frames.")


@dataclass(frozen=True)
class ModelProfile:
    """How the networks of one architecture are run."""

    prepare_for_cpu: Callable[[Human3R], None]
    """Rearranges the weights of a network in place for inference on a CPU."""
    precisions: tuple[Precision, ...] = ("fp32", "mixed16", "mixed", "fp16", "bf16")
    """Supported arithmetic; any other choice runs in fp32."""
    gpu_precision: Precision = "mixed16"
    """What ``auto`` is on a GPU; on a CPU it is fp32."""
    stores_precision: bool = True
    """Weights are stored in the chosen precision; False leaves it to autocast."""
    can_compile: bool = True
    session: SessionOptions = field(default_factory=SessionOptions)
    """Defaults of a session."""
    has_protocol_gate: bool = True
    """Evaluation protocols that gate state updates (TTT3R) apply to it."""
    track_motion: MotionOptions | None = None
    """Motion model of the tracker; None compares features only, as the paper's tracker does."""
    cpu_batch_size: int = 1
    """Frames of a file that are encoded together on a CPU."""
    gpu_batch_size: int = 4
    """Frames of a file that pass encoders and point head together on a GPU: small batches leave it half idle."""
    overlaps_on_cpu: bool = False
    """On a CPU, encoder, recurrence and body placement each run in a thread of their own."""
    hands: HandOptions | None = None
    """When hands are examined; None leaves them to the network."""
    finishing: FinishOptions = field(default_factory=FinishOptions)
    """Refinement of a finished clip."""
    squeezes_frames: bool = False
    """The network's pixels are not square, by up to a few percent: its predictions are corrected for it."""
    needs_licensed_body: bool = True
    """Shapes were learned for SMPL-X: the embedded body approximates them."""


def _pack_paper(network: Human3R) -> None:
    if network.config.trunk.token_dim < _MIN_PACKED_CHANNELS:
        return
    network.use_complex_rope()
    # Its maps come from tokens, channels last: convolutions then need no transposition.
    network.get_submodule("point_head").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepack_linears(network)


def _pack_compact(network: Human3R) -> None:
    for name in ("image_encoder", "decoder", "memory", "prompter", "person_head"):
        prepack_linears(network.get_submodule(name))


PAPER_PROFILE = ModelProfile(prepare_for_cpu=_pack_paper)
COMPACT_PROFILE = ModelProfile(
    prepare_for_cpu=_pack_compact,
    precisions=("fp32", "bf16"),
    gpu_precision="fp32",
    stores_precision=False,
    can_compile=False,
    session=SessionOptions(causal_filter=CausalFilterOptions()),
    has_protocol_gate=False,
    track_motion=MotionOptions(),
    # Frames share the reading of the weights and looks at people.
    cpu_batch_size=4,
    overlaps_on_cpu=True,
    hands=HandOptions(),
    # Single-frame false positives occur, and sizes are known from proportions only.
    finishing=FinishOptions(
        min_track_frames=3,
        one_lens=True,
        one_shape=True,
        offline_smoothing=OfflineSmoothingOptions(),
        agreeing_views=True,
        one_world=WITNESSES,
        lock_feet=True,
    ),
    squeezes_frames=True,
    needs_licensed_body=False,
)


def profile_of(config: ModelConfig) -> ModelProfile:
    """Return the profile of a network's architecture."""
    return COMPACT_PROFILE if config.architecture == "compact" else PAPER_PROFILE
