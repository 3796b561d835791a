"""Compare two implementations of a network of the paper on the same frames: speed-up and differences.

The other implementation is fp32 and computes everything that the released code computes, unused heads included:
``plain`` by plain formulas with all attention logits in memory, ``reference`` with torch's fused attention like the
released code. Weights are random, which amplify errors more than trained ones.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from human3r.assets.conversion.convert import lean_config
from human3r.benchmarking.flops import count_flops
from human3r.benchmarking.measuring import measured_peak, processor_seconds
from human3r.bodies import SmplxBody
from human3r.bodies.placement import head_centered
from human3r.errors import InputError
from human3r.inference.loading.model import prepare_network
from human3r.inference.loading.precision import choose_policy
from human3r.inference.loading.profile import PAPER_PROFILE
from human3r.models.build import build_network, draw_weights
from human3r.models.config import ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.paper.prompts import suppress_non_maxima
from human3r.models.parts import NetworkPrediction, RecurrentState
from human3r.models.precision import Precision, set_precision
from human3r.models.reference import use_reference_path

Other = Literal["plain", "reference"]
_RATES: tuple[Precision, ...] = ("fp32", "bf16")
_PEOPLE = range(2, 9)
"""Range of people per frame; the detection threshold is put into the widest gap between scores that gives so many."""


@dataclass(frozen=True)
class Difference:
    """Differences between the networks in one frame."""

    people: tuple[int, int]
    """Numbers of people found by the other and the fast network; people are compared if they agree."""
    pointmap_percent: float
    """Mean distance between points over their mean distance from the camera."""
    rotation_deg: float
    translation_percent: float
    vertices_mm: float
    """Mean distance between body vertices in the camera frame."""
    vertices_centered_mm: float
    """The same after aligning the heads."""


@dataclass(frozen=True)
class Comparison:
    """Both networks on the same frames; processor seconds, medians over frames after the first."""

    model: str
    against: Other
    precision: Precision
    threads: int
    frames: int
    seconds_other: float
    seconds_fast: float
    speed_up: float
    gflop_other: float
    gflop_fast: float
    peak_gflops: dict[str, float]
    """Measured rate of a large matrix product by precision, all threads."""
    speed_up_limit: float
    """Speed-up if the fast network only computed products, at that rate."""
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return lines for people."""
        lines = [
            f"{self.model}, random weights, {self.frames} timed frames, {self.threads} threads, processor seconds",
            f"{self.against} fp32, all heads: {self.seconds_other:.2f} s/frame, {self.gflop_other:.0f} GFLOP",
            f"ours {self.precision}:          {self.seconds_fast:.2f} s/frame, {self.gflop_fast:.0f} GFLOP",
            f"{self.speed_up:.2f} times faster; {self.speed_up_limit:.2f} if it only computed products, at "
            + ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in self.peak_gflops.items()),
        ]
        for index, difference in enumerate(self.differences):
            lines.append(
                f"frame {index}: points {difference.pointmap_percent:.3f} %, camera {difference.rotation_deg:.4f} deg "
                f"{difference.translation_percent:.3f} %, vertices {difference.vertices_mm:.3f} mm "
                f"({difference.vertices_centered_mm:.3f} centered), people {difference.people}"
            )
        return "\n".join(lines)


def compare(
    config: ModelConfig, precision: Precision, against: Other, body: SmplxBody, *, num_frames: int = 2
) -> Comparison:
    """Run both networks on the CPU, alternating by frame; the first frame is warm-up.

    Raises:
        InputError: It is not a network of the paper.
    """
    if config.architecture != "paper":
        raise InputError(f"{config.name} has no reference path.", "Compare a network of the paper.")
    other, fast = _networks(config, precision, against)
    images = _images(config, num_frames + 1)
    threshold = _threshold(other, images)
    other.prompter.threshold = fast.prompter.threshold = threshold  # type: ignore[attr-defined]
    networks = (other, fast)
    states: list[RecurrentState] = [network.initial_state() for network in networks]
    seconds: tuple[list[float], list[float]] = ([], [])
    differences = []
    device = torch.device("cpu")
    for image in images:
        predictions: list[NetworkPrediction] = []
        for index, network in enumerate(networks):

            def run(index: int = index, network: Human3R = network, image: Tensor = image) -> None:
                with torch.inference_mode():
                    prediction, states[index] = network.step(network.encode(image), states[index])
                predictions.append(prediction)  # noqa: B023 - called at once

            seconds[index].append(processor_seconds(run, device))
        differences.append(measure_difference(predictions[1], predictions[0], body))
    before, after = (float(np.median(values[1:])) for values in seconds)
    table = count_flops(config, (images[0].shape[2], images[0].shape[3]))
    peaks = {name: measured_peak(device, name) for name in _RATES}
    rate = (peaks["fp32"] if precision == "fp32" else max(peaks.values())) / torch.get_num_threads()
    return Comparison(
        model=config.name,
        against=against,
        precision=precision,
        threads=torch.get_num_threads(),
        frames=num_frames,
        seconds_other=before,
        seconds_fast=after,
        speed_up=before / after,
        gflop_other=table.full / 1e9,
        gflop_fast=table.lean / 1e9,
        peak_gflops={name: peak / 1e9 for name, peak in peaks.items()},
        speed_up_limit=before * rate / table.lean,
        differences=tuple(differences),
    )


def _networks(config: ModelConfig, precision: Precision, against: Other) -> tuple[Human3R, Human3R]:
    """Return the other network and the fast one, with equal weights before rounding."""
    other = _allocate(config, "fp32")
    draw_weights(other, seed=0)
    fast = _allocate(lean_config(config), precision)
    with torch.no_grad():
        source = other.state_dict()
        for name, values in fast.state_dict().items():
            values.copy_(source[name])
    use_reference_path(other, has_fused_attention=against == "reference")
    return other.requires_grad_(False), prepare_network(fast, choose_policy("cpu", precision, PAPER_PROFILE))


def _allocate(config: ModelConfig, precision: Precision) -> Human3R:
    with torch.device("meta"):
        network = build_network(config)
    set_precision(network, precision)
    return network.to_empty(device="cpu")


def _images(config: ModelConfig, count: int) -> list[Tensor]:
    """Return frames of colored blocks ``1 3 H W`` that change from frame to frame."""
    patch = config.trunk.patch_size
    height, width = config.image_size * 9 // 16 // patch * patch, config.image_size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 9, 16, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(height, width), mode="nearest")
    return [image[None] for image in images]


def _threshold(network: Human3R, images: list[Tensor]) -> float:
    peaks = []
    for image in images:
        with torch.inference_mode():
            score = network.human_prior(image).score  # type: ignore[attr-defined]
        peaks.append(suppress_non_maxima(score).flatten())
    # No score may be close to the threshold, where rounding would decide.
    merged = torch.cat(peaks).sort(descending=True).values
    ranks = range(_PEOPLE.start * len(images), _PEOPLE.stop * len(images))
    best = max(ranks, key=lambda count: float(merged[count - 1] - merged[count]))
    return float(merged[best - 1] + merged[best]) / 2


def measure_difference(found: NetworkPrediction, expected: NetworkPrediction, body: SmplxBody) -> Difference:
    """Compare one frame of two networks."""
    distance = (found.pointmap_camera - expected.pointmap_camera).norm(dim=-1).mean()
    scale = expected.pointmap_camera.norm(dim=-1).mean()
    T, other = found.T_segment_camera.double(), expected.T_segment_camera.double()
    rotation = torch.linalg.matrix_norm(T[:3, :3] - other[:3, :3]) / 2**0.5
    translation = (T[:3, 3] - other[:3, 3]).norm() / other[:3, 3].norm()
    people = (len(expected.score), len(found.score))
    vertices = centered = math.nan
    if people[0] == people[1] > 0:
        first, second = _vertices(found, body), _vertices(expected, body)
        shift = (found.head_camera - expected.head_camera)[:, None]
        vertices = float((first - second).norm(dim=-1).mean()) * 1000
        centered = float((first - shift - second).norm(dim=-1).mean()) * 1000
    return Difference(
        people=people,
        pointmap_percent=float(distance / scale) * 100,
        rotation_deg=math.degrees(float(rotation)),
        translation_percent=float(translation) * 100,
        vertices_mm=vertices,
        vertices_centered_mm=centered,
    )


def _vertices(prediction: NetworkPrediction, body: SmplxBody) -> Tensor:
    """Return ``P V 3`` in the camera frame."""
    parameters = head_centered(
        body, prediction.joint_rotations, prediction.head_camera, prediction.betas, prediction.expression
    )
    return body(parameters).vertices
