"""Compiling the heavy parts of an official network, with a warm-up and a way back.

The plain twin is the network itself: a compiled one gives the same numbers up to the order of sums. Parts whose work
depends on the data (detections, heads of people) and the recurrence around them stay as they are.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from human3r.models.human3r import Human3R

PEOPLE_BUCKETS = (8, 32)
"""Sizes of the person axis of a compiled network: each is compiled once."""
_LONGEST = 300
"""Letters of a compiler's message that are told."""
_LOG = logging.getLogger(__name__)


def heavy_parts(network: Human3R) -> list[nn.Module]:
    """Return the parts of an official network that do nearly all of its arithmetic."""
    prior, head = network.human_prior, network.point_head
    return [network.image_encoder, prior.backbone, network.decoder, head.dpt]  # type: ignore[attr-defined]


def compile_network(network: Human3R, image: Tensor, *, backend: str = "inductor") -> bool:
    """Compile an official network in place and run it until everything is compiled.

    Args:
        network: On its device, in its precision.
        image: ``1 3 H W`` in [-1, 1] on the network's device. Other sizes are compiled when they come.
        backend: Of ``torch.compile``.

    Returns:
        False where this machine cannot compile: the network is then as it was.
    """
    _warm_up(network, image)
    parts = heavy_parts(network)
    try:
        for part in parts:
            part.compile(backend=backend, dynamic=False)
        _warm_up(network, image)
    # The compiler's own errors have no common class, and a missing C++ compiler raises yet another one.
    except Exception as error:
        _LOG.warning("the network is not compiled and runs as it is: %s", " ".join(str(error).split())[:_LONGEST])
        for part in parts:
            part._compiled_call_impl = None
        return False
    return True


@torch.inference_mode()
def _warm_up(network: Human3R, image: Tensor) -> None:
    """Run the first and a later frame with every bucket: all shapes of a stream without the gate."""
    tokens = network.encode(image)
    for capacity in PEOPLE_BUCKETS:
        _, state = network.step(tokens, network.initial_state().to(image.device), people_capacity=capacity)
        network.step(tokens, state, people_capacity=capacity)
