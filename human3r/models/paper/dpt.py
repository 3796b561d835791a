"""The dense prediction head: token maps of four depths, fused from deep to shallow up to the full resolution.

Source: DPT (arXiv 2103.13413), sec. 3.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from human3r.models.config import PaperConfig, TrunkConfig
from human3r.models.layers.casting import Conv2d, ConvTranspose2d


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with pre-activation, added to the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(dim, dim, 3, padding=1)
        self.conv2 = Conv2d(dim, dim, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``B C h w`` to ``B C h w``."""
        return features + self.conv2(functional.relu(self.conv1(functional.relu(features))))


class Fusion(nn.Module):
    """Add a shallower map to the deeper result (except in the deepest fusion), refine, upsample by two."""

    def __init__(self, dim: int, has_shallow_input: bool) -> None:
        super().__init__()
        self.shallow = ResidualUnit(dim) if has_shallow_input else None
        self.refine = ResidualUnit(dim)
        self.projection = Conv2d(dim, dim, 1)
        self.projects_first = True
        """Project before the upsampling, at a quarter of the cost: interpolation weights sum to one and are the same
        for every channel, so the two commute. False is the published order."""

    def forward(self, deep: Tensor, shallow: Tensor | None = None) -> Tensor:
        """Map ``B C h w`` maps to ``B C 2h 2w``."""
        if self.shallow is not None and shallow is not None:
            deep = deep + self.shallow(shallow)
        refined = self.refine(deep)
        return _double(self.projection(refined)) if self.projects_first else self.projection(_double(refined))


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)


class DptHead(nn.Module):
    """Predict ``channels`` values per pixel from four levels of tokens."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig, channels: int) -> None:
        super().__init__()
        widths, dim = parts.dpt_widths, parts.dpt_dim
        inputs = (trunk.token_dim, *[trunk.decoder_dim] * 3)
        self.reduce = nn.ModuleList(Conv2d(source, width, 1) for source, width in zip(inputs, widths, strict=True))
        self.rescale = nn.ModuleList((
            ConvTranspose2d(widths[0], widths[0], 4, stride=4),
            ConvTranspose2d(widths[1], widths[1], 2, stride=2),
            nn.Identity(),
            Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
        ))  # fmt: skip
        self.align = nn.ModuleList(Conv2d(width, dim, 3, padding=1, bias=False) for width in widths)
        self.fusions = nn.ModuleList(Fusion(dim, has_shallow_input=level < 3) for level in range(4))
        self.output = nn.ModuleList((
            Conv2d(dim, dim // 2, 3, padding=1),
            Conv2d(dim // 2, dim // 2, 3, padding=1),
            Conv2d(dim // 2, channels, 1),
        ))  # fmt: skip

    def forward(self, levels: tuple[Tensor, ...], grid: tuple[int, int]) -> Tensor:
        """Map four ``B N D`` levels over ``grid`` (rows, columns) to ``B channels H W``, raw."""
        maps = [
            align(rescale(reduce(level.transpose(1, 2).unflatten(-1, grid))))
            for level, reduce, rescale, align in zip(levels, self.reduce, self.rescale, self.align, strict=True)
        ]
        path = self.fusions[3](maps[3])
        # The stride-2 convolution rounds an odd grid up: crop the extra row or column.
        path = path[..., : maps[2].shape[-2], : maps[2].shape[-1]]
        for level in (2, 1, 0):
            path = self.fusions[level](path, maps[level])
        features = self.output[1](_double(self.output[0](path)))
        # The last layer is fp32: its outputs are exponents, for which 8 bits of mantissa are too few.
        return self.output[2](functional.relu(features).float())
