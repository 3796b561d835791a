"""The reference path of a network: the published formulas without optimization, for tests and comparisons of speed."""

from __future__ import annotations

from torch import nn

from human3r.models.layers.attention import CrossAttention, SelfAttention, attend_reference, mean_logits_reference
from human3r.models.paper.dpt import Fusion


def use_reference_path(network: nn.Module, *, has_fused_attention: bool = False) -> None:
    """Let a network (not prepacked) compute by the published formulas, in place.

    ``has_fused_attention`` keeps torch's fused attention kernel, as the released code does.
    """
    for module in network.modules():
        if isinstance(module, (SelfAttention, CrossAttention)) and not has_fused_attention:
            module.attend = attend_reference
        if isinstance(module, CrossAttention):
            module.mean_logits = mean_logits_reference
        if isinstance(module, Fusion):
            module.projects_first = False
