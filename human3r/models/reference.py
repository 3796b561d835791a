"""The plain twin of an official network: the same numbers by the formulas, for tests and for comparisons of speed."""

from __future__ import annotations

from torch import nn

from human3r.models.layers.attention import CrossAttention, SelfAttention, attend_plainly, mean_logits_plainly
from human3r.models.paper.dpt import Fusion


def compute_plainly(network: nn.Module, *, has_fused_attention: bool = False) -> None:
    """Make a network, not yet packed, compute without any shortcut: logits in memory, convolutions in written order.

    Args:
        network: Changed in place.
        has_fused_attention: Keep torch's fused attention kernel, as the released code has it, except for the gate's
            logits.
    """
    for module in network.modules():
        if isinstance(module, (SelfAttention, CrossAttention)) and not has_fused_attention:
            module.attend = attend_plainly
        if isinstance(module, CrossAttention):
            module.mean_logits = mean_logits_plainly
        if isinstance(module, Fusion):
            module.projects_first = False
