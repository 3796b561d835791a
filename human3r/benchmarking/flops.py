"""Operations per frame by part, and the resulting upper bounds of the frame rate on known processors.

Counted by torch's ``FlopCounterMode``, for networks of the paper on the meta device. A multiply-add is two operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.benchmarking.table import markdown_table
from human3r.models.build import build_network
from human3r.models.compact.build import COMPACT
from human3r.models.config import PRESETS, ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.reference import use_reference_path

IMAGE_SIZE = (288, 512)
"""(height, width) of a 16:9 clip in the networks of the paper."""
NUM_PEOPLE = 5
_PARTS = {
    "DualDecoder": "decoder",
    "DptPointHead": "point head",
    "DptExtraHead": "extra heads",
    "HeadPrompter": "prompts",
    "MlpPersonHead": "person head",
    "PatchMaskHead": "mask head",
    "MlpCameraHead": "camera head",
}
_PEAKS = {"A100 SXM": 312e12, "H100 SXM": 989e12, "RTX 4090": 165.2e12}
"""Dense bf16 operations per second with fp32 accumulation. Source: NVIDIA's data sheets of the A100 and the H100, and
its white paper of the Ada architecture."""


@dataclass(frozen=True)
class FlopTable:
    """Operations of one frame."""

    model: str
    parts: dict[str, int]
    """Operations by part; ``extra heads`` are not run unless asked for."""

    @property
    def lean(self) -> int:
        """Operations of a frame without the unused heads."""
        return sum(count for name, count in self.parts.items() if name != "extra heads")

    @property
    def full(self) -> int:
        """Operations of everything that the released code computes."""
        return sum(self.parts.values())


@cache
def count_flops(
    config: ModelConfig, image_size: tuple[int, int] = IMAGE_SIZE, num_people: int = NUM_PEOPLE
) -> FlopTable:
    """Count the operations of a later frame of a stream (batch 1) in a network of the paper; takes seconds, once."""
    with torch.device("meta"):
        network = build_network(config)
        image = torch.zeros(1, 3, *image_size)
    with torch.inference_mode():
        return FlopTable(config.name, _count(network, image, num_people))


def count_compact_flops(image: torch.Tensor) -> int:
    """Count the operations of a later frame of a stream in ``compact``, on the image ``1 3 H W``.

    They depend on the people in the image, so the network runs with its weights on the CPU, in fp32.
    """
    network = build_network(COMPACT)
    network.load_state_dict(read_shards(COMPACT_FOLDER))
    use_reference_path(network)
    with torch.inference_mode():
        _, state = network.step(network.encode(image), network.initial_state())
        with FlopCounterMode(display=False) as counter:
            network.step(network.encode(image), state)
    return counter.get_total_flops()


def _count(network: Human3R, image: torch.Tensor, num_people: int) -> dict[str, int]:
    parts: dict[str, int] = {}
    for name, part in (("image encoder", network.image_encoder), ("human backbone", network.human_prior)):
        with FlopCounterMode(display=False) as counter:
            part(image)
        parts[name] = counter.get_total_flops()
    tokens = network.encode(image)
    _, state = network.step(tokens, network.initial_state(), people_capacity=num_people)
    with FlopCounterMode(display=False) as counter:
        network.step(tokens, state, people_capacity=num_people)
    counts = counter.get_flop_counts()
    for module, name in _PARTS.items():
        parts[name] = sum(counts.get(module, {}).values())
    # Reading and writing the memory are not modules.
    in_step = sum(parts[name] for name in _PARTS.values())
    parts["memory"] = counter.get_total_flops() - in_step
    return parts


def flop_page(cpu_name: str, cpu_peaks: dict[str, float]) -> str:
    """Return the page of the tables, in Markdown.

    Args:
        cpu_peaks: Precision to measured operations per second of a large matrix product, all cores.
    """
    tables = [count_flops(config) for config in PRESETS.values() if config.name != "tiny"]
    names = [table.model for table in tables]
    height, width = IMAGE_SIZE
    costs = [[part, *(f"{table.parts[part] / 1e9:.1f}" for table in tables)] for part in tables[0].parts]
    costs.append(["**run by default**", *(f"{table.lean / 1e9:.0f}" for table in tables)])
    costs.append(["with extra heads", *(f"{table.full / 1e9:.0f}" for table in tables)])
    peaks = {f"{name}, bf16": peak for name, peak in _PEAKS.items()}
    peaks |= {f"{cpu_name}, {precision} (measured)": peak for precision, peak in cpu_peaks.items()}
    limits = [
        [name, f"{peak / 1e12:.3g} TFLOP/s", *(f"{peak / table.lean:.3g}" for table in tables)]
        for name, peak in peaks.items()
    ]
    lines = [
        "# Operations per frame",
        "",
        f"Output of `human3r benchmark --flops`: GFLOP per frame of {width}x{height} with {NUM_PEOPLE} people,",
        "counted by torch's `FlopCounterMode` (a multiply-add is two); norms and softmax are not counted.",
        "",
        *markdown_table(["part", *names], costs),
        "",
        "Extra heads: points in the first camera's frame, and colors; they are not used downstream.",
        "",
        "Upper bounds of the frames per second at the peak rate of the matrix units; usually 35 to 50 % is reached.",
        "",
        *markdown_table(["processor", "peak", *names], limits),
    ]
    return "\n".join(lines) + "\n"
