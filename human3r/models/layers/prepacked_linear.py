"""Linear layers on a CPU whose weights are prepacked in the layout of oneDNN's matrix kernels.

The reference is ``casting.Linear``, where the kernels reorder the weights at every call: a tenth to a fifth of the time
at 600 tokens. Where the operators (those of torch's own compiler) are not available, ``prepack_linears`` does nothing.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from human3r.models.layers.blocks import Mlp
from human3r.models.layers.casting import Linear, to_precision_of

_LOG = logging.getLogger(__name__)
_TYPICAL_TOKENS = 576
"""Rows that the layout is optimized for, those of a 512 x 288 frame; any other number works."""
_NONE, _GELU = ("none", [], ""), ("gelu", [], "none")


class PrepackedLinear(nn.Module):
    """A linear layer over a prepacked copy of the weights, optionally with the exact GELU. For inference only."""

    def __init__(self, linear: nn.Linear, has_gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._after = _GELU if has_gelu else _NONE
        self._empty = linear.weight.new_zeros(0)
        self._bias = None if linear.bias is None else linear.bias.detach()  # pyright: ignore[reportUnnecessaryComparison]
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), _TYPICAL_TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``... in`` to ``... out``, in the precision of the weights."""
        tokens = to_precision_of(tokens, self._empty)
        if tokens.numel() == 0:
            return tokens.new_zeros((*tokens.shape[:-1], self.out_features))
        return torch.ops.mkldnn._linear_pointwise(tokens, self._packed, self._bias, *self._after)


def can_prepack(precision: torch.dtype) -> bool:
    """Test whether prepacked linear layers of a precision work on this machine and compute the same."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(64, 32).requires_grad_(False)
    linear.weight.copy_(torch.randn(32, 64, generator=generator) / 8)
    linear = linear.to(precision)
    tokens = torch.randn(5, 64, generator=generator).to(precision)
    try:
        with torch.inference_mode():
            found = PrepackedLinear(linear)(tokens)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        _LOG.info("prepacked linear layers are not available: %s", error)
        return False
    tolerance = 1e-5 if precision == torch.float32 else 3e-2
    return torch.allclose(found, linear(tokens), atol=tolerance, rtol=tolerance)


def prepack_linears(module: nn.Module) -> int:
    """Replace every ``Linear`` inside a module on a CPU by its prepacked form, one at a time.

    The module can afterwards be run, but not trained, moved or saved.

    Returns:
        The number of layers replaced; 0 where prepacking does not work.
    """
    dtypes = {layer.weight.dtype for layer in module.modules() if isinstance(layer, Linear)}
    return _prepack_children(module, {dtype for dtype in dtypes if can_prepack(dtype)})


def _prepack_children(module: nn.Module, dtypes: set[torch.dtype]) -> int:
    count = 0
    for name, child in list(module.named_children()):
        if not isinstance(child, Linear):
            count += _prepack_children(child, dtypes)
        elif child.weight.dtype in dtypes:
            has_gelu = isinstance(module, Mlp) and name == "expand" and isinstance(module.activation, nn.GELU)
            setattr(module, name, PrepackedLinear(child, has_gelu))
            if has_gelu:
                module.activation = nn.Identity()
            count += 1
    return count
