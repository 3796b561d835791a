"""Linear layers on a CPU whose weights are laid out once as its matrix kernels read them.

The plain twin is ``layers.Linear``: it lets the kernels re-order the weights at every call, which costs a tenth to a
fifth of the time at 600 tokens. Uses the operators that torch's own compiler uses; where they are missing, or do not
know the machine, ``pack_linears`` leaves the network as it is.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from human3r.models.layers.blocks import Mlp
from human3r.models.layers.casting import Linear, to_precision_of

_LOG = logging.getLogger(__name__)
_TYPICAL_TOKENS = 576
"""Rows that the layout is chosen for: a 512 x 288 frame. Any other number works."""
_NONE, _GELU = ("none", [], ""), ("gelu", [], "none")


class PackedLinear(nn.Module):
    """A linear layer, perhaps with the exact GELU behind it, over packed weights. For inference only.

    Args:
        linear: Its weights are copied into the packed layout; the layer itself can be dropped.
        has_gelu: Apply the exact GELU to the result.
    """

    def __init__(self, linear: nn.Linear, has_gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._after = _GELU if has_gelu else _NONE
        self._empty = linear.weight.new_zeros(0)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), _TYPICAL_TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``... in`` to ``... out``, in the precision of the weights."""
        tokens = to_precision_of(tokens, self._empty)
        if tokens.numel() == 0:
            return tokens.new_zeros((*tokens.shape[:-1], self.out_features))
        return torch.ops.mkldnn._linear_pointwise(tokens, self._packed, self._bias, *self._after)


def can_pack(precision: torch.dtype) -> bool:
    """Whether this build of torch packs linear layers of a precision here, and computes the same with them."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(64, 32).requires_grad_(False)
    linear.weight.copy_(torch.randn(32, 64, generator=generator) / 8)
    linear = linear.to(precision)
    tokens = torch.randn(5, 64, generator=generator).to(precision)
    try:
        with torch.inference_mode():
            found = PackedLinear(linear)(tokens)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        _LOG.info("packed linear layers are not available: %s", error)
        return False
    tolerance = 1e-5 if precision == torch.float32 else 3e-2
    return torch.allclose(found, linear(tokens), atol=tolerance, rtol=tolerance)


def pack_linears(module: nn.Module) -> int:
    """Replace every ``Linear`` inside a module on a CPU by its packed form, one at a time.

    The module can afterwards be run, not trained, moved or saved.

    Returns:
        How many layers were replaced; 0 where packing does not work.
    """
    usable = {dtype: can_pack(dtype) for dtype in {layer.weight.dtype for layer in _linears(module)}}
    return _pack_children(module, usable)


def _linears(module: nn.Module) -> list[Linear]:
    return [layer for layer in module.modules() if isinstance(layer, Linear)]


def _pack_children(module: nn.Module, usable: dict[torch.dtype, bool]) -> int:
    count = 0
    for name, child in list(module.named_children()):
        if isinstance(child, Linear):
            if usable[child.weight.dtype]:
                has_gelu = isinstance(module, Mlp) and name == "expand" and _is_exact_gelu(module.activation)
                setattr(module, name, PackedLinear(child, has_gelu))
                if has_gelu:
                    module.activation = nn.Identity()
                count += 1
        else:
            count += _pack_children(child, usable)
    return count


def _is_exact_gelu(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "none"
