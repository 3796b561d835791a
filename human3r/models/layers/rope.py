"""Two-dimensional rotary position embedding.

A head vector of D = 4Q channels is laid out [u_row | v_row | u_column | v_column] with Q channels each; channel d of a
pair (u, v) is rotated by ``position * base ** (-d / Q)``. Positions may be negative: the pose token is at (-1, -1).
Sources: RoFormer (arXiv 2104.09864), eq. 34; its two-dimensional form in CroCo v2 (arXiv 2211.10408), sec. 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord


@dataclass(frozen=True)
class RotaryTable(TensorRecord):
    """Cosines and sines of N positions for one head size."""

    cosine: Tensor
    """``N D``"""
    sine: Tensor
    """``N D``"""

    def rotate(self, tokens: Tensor) -> Tensor:
        """Rotate ``... N D`` by the N positions, in the precision of the table."""
        quarter = tokens.shape[-1] // 4
        u, v = tokens.unflatten(-1, (2, 2, quarter)).unbind(-2)
        turned = torch.stack((-v, u), dim=-2).flatten(-3)
        return tokens * self.cosine + turned * self.sine

    def concatenated(self, *others: RotaryTable) -> RotaryTable:
        """Return the table of this table's positions followed by those of ``others``."""
        tables = (self, *others)
        return RotaryTable(torch.cat([table.cosine for table in tables]), torch.cat([table.sine for table in tables]))


class Rotary:
    """Builder of tables for one head size (a multiple of 4), with a cache per (layout, device).

    Not a module: tables follow from sizes alone and are no part of the weights.
    """

    def __init__(self, head_dim: int, base: float) -> None:
        self.head_dim = head_dim
        self.base = base
        self._fixed: dict[tuple[Hashable, torch.device], RotaryTable] = {}

    def table(self, positions: Tensor) -> RotaryTable:
        """Return the table of ``N 2`` (row, column) positions."""
        quarter = self.head_dim // 4
        exponent = torch.arange(quarter, device=positions.device, dtype=torch.float32) / quarter
        # Divided as in the released code; a negative exponent differs by up to an fp16 step after rounding.
        frequency = 1 / torch.pow(self.base, exponent)
        angle = positions.float()[:, :, None] * frequency
        angle = angle[:, :, None, :].expand(-1, -1, 2, -1).flatten(1)
        return RotaryTable(angle.cos(), angle.sin())

    def fixed(self, layout: Hashable, device: torch.device, positions: Callable[[], Tensor]) -> RotaryTable:
        """Return the cached table of a named layout; ``positions`` is called the first time only."""
        key = (layout, device)
        if key not in self._fixed:
            self._fixed[key] = self.table(positions().to(device))
        return self._fixed[key]

    def grid(self, rows: int, columns: int, device: torch.device) -> RotaryTable:
        """Return the cached table of a row-major grid."""
        return self.fixed((rows, columns), device, lambda: grid_positions(rows, columns))


def grid_positions(rows: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """Return ``rows * columns, 2`` int64 (row, column) pairs in row-major order."""
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    column = torch.arange(columns, device=device).repeat(rows)
    return torch.stack((row, column), dim=-1)
