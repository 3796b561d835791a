"""Compilation of the expensive parts of the paper's network, with a warm-up and a fallback.

A compiled network computes the same up to the order of sums. Parts whose work depends on the data (detections, person
heads) and the recurrence are not compiled.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from human3r.models.human3r import Human3R

PEOPLE_BUCKETS = (8, 32)
"""Padded sizes of the person axis; each is compiled once."""
_MAX_MESSAGE_LENGTH = 300
_LOG = logging.getLogger(__name__)


def heavy_parts(network: Human3R) -> list[nn.Module]:
    """Return the parts of the paper's network with nearly all of its arithmetic."""
    names = ("image_encoder", "human_prior.backbone", "decoder", "point_head.dpt")
    return [network.get_submodule(name) for name in names]


def compile_network(network: Human3R, image: Tensor, *, backend: str = "inductor") -> bool:
    """Compile the paper's network in place and run it until everything is compiled.

    Args:
        network: On its device, in its precision.
        image: ``1 3 H W`` in [-1, 1] on the network's device. Other sizes are compiled on first use.
        backend: Of ``torch.compile``.

    Returns:
        False where compilation fails; the network is then unchanged.
    """
    _warm_up(network, image)
    parts = heavy_parts(network)
    try:
        for part in parts:
            part.compile(backend=backend, dynamic=False)
        _warm_up(network, image)
    # Errors of the compiler have no common class.
    except Exception as error:
        message = " ".join(str(error).split())[:_MAX_MESSAGE_LENGTH]
        _LOG.warning("compilation failed, the network runs uncompiled: %s", message)
        for part in parts:
            part._compiled_call_impl = None  # pyright: ignore[reportPrivateUsage]
        return False
    return True


@torch.inference_mode()
def _warm_up(network: Human3R, image: Tensor) -> None:
    """Run the first and a later frame with every padded size: all shapes of a stream without the gate."""
    tokens = network.encode(image)
    for capacity in PEOPLE_BUCKETS:
        _, state = network.step(tokens, network.initial_state().to(image.device), people_capacity=capacity)
        network.step(tokens, state, people_capacity=capacity)
