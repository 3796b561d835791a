"""Comparing tensors, and one row per group of them.

The error of a tensor is ``max |found - expected| / max |expected|``; counts, identities, positions and indices must be
equal. A tensor of the folder that nothing computes fails its row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NETWORK_TOLERANCE = 2e-5
"""fp32 mode: encoders, prompts, decoder, state, memory."""
OUTPUT_TOLERANCE = 1e-4
"""fp32 mode: heads, outputs, cameras, bodies; points pass through expm1."""
HALF_TOLERANCE = 5e-4
"""Half mode: one flipped fp16 rounding moves a tensor by 1e-4."""
HALF_ROTATION_TOLERANCE = 1e-3
"""Half mode, absolute, on entries of rotation matrices."""
FUNCTION_TOLERANCE = 1e-5
ROTARY_TOLERANCE = 2e-5
FOCAL_TOLERANCE = 1e-4
NEAR_PI_TOLERANCE = 1e-3
"""Rotation vectors near pi: the axis is the square root of a small number."""
EXACT = 0.0


_QUATERNION = re.compile(r"quat|qwxyz|relative_q$|camera_pose$|to_encoding$")
"""Names of tensors that end in four numbers of a quaternion, whose sign is arbitrary."""


@dataclass(frozen=True)
class ParityRow:
    """The worst tensor of one group."""

    group: str
    error: float
    """Relative, absolute for rotations in half mode; infinite where a tensor is missing, unknown or misshapen."""
    tolerance: float
    """Of the worst tensor."""
    num_tensors: int
    worst: str
    """Name of the worst tensor, and what is wrong with it where that is not a number."""

    @property
    def is_ok(self) -> bool:
        """Whether every tensor of the group is within its own tolerance."""
        return self.error <= self.tolerance

    @property
    def excess(self) -> float:
        """Error over tolerance, by which the worst tensor is found."""
        return self.error / max(self.tolerance, 1e-12)


class RowCollector:
    """Collects comparisons of one file into rows.

    Args:
        scope: Name of the file, first word of every group.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self._rows: dict[str, ParityRow] = {}

    @property
    def rows(self) -> list[ParityRow]:
        """One row per group, in order of appearance."""
        return list(self._rows.values())

    def compare_all(
        self, recorded: Mapping[str, Tensor], found: Mapping[str, tuple[Tensor, float]], inputs: Iterable[str] = ()
    ) -> None:
        """Compare all recorded tensors but the inputs with (tensor, tolerance); names that nothing computes fail."""
        for name, expected in recorded.items():
            if name in found:
                self.compare(name, found[name][0], expected, found[name][1])
        self.fail_unknown(recorded, (*found, *inputs))

    def fail_unknown(self, names: Iterable[str], known: Iterable[str]) -> None:
        """Fail every name that is not known."""
        for name in sorted(set(names) - set(known)):
            self.fail(name, "unknown to the replay")

    def compare(
        self, name: str, found: Tensor | None, expected: Tensor, tolerance: float, *, is_absolute: bool = False
    ) -> None:
        """Compare one tensor, quaternions up to their sign; ``found`` None means that nothing computes it."""
        if found is None:
            self.fail(name, "not computed")
        elif tuple(found.shape) != tuple(expected.shape):
            self.fail(name, f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}")
        else:
            if _QUATERNION.search(name):
                found = with_sign_of(found.detach().cpu(), expected)
            self._add(name, tensor_error(found, expected, is_absolute or tolerance == EXACT), tolerance, name)

    def check(self, name: str, is_equal: bool, what: str = "") -> None:
        """Record something that is either right or wrong."""
        self._add(name, 0.0 if is_equal else math.inf, EXACT, name if is_equal else f"{name}: {what}")

    def fail(self, name: str, what: str) -> None:
        """Record a tensor that cannot be compared."""
        self.check(name, False, what)

    def _add(self, name: str, error: float, tolerance: float, worst: str) -> None:
        group = f"{self.scope} {group_name(name)}"
        row, added = self._rows.get(group), ParityRow(group, error, tolerance, 1, worst)
        if row is not None:
            worse = added if added.excess > row.excess else row
            added = replace(worse, num_tensors=row.num_tensors + 1)
        self._rows[group] = added


def group_name(name: str) -> str:
    """Return the name without the index of its frame, layer or case."""
    name = re.sub(r"^[a-z]\d+/", "", name)
    return re.sub(r"(?<=[a-z])\d+$", "", re.sub(r"/[A-Z]?\d+/", "/", name))


def with_sign_of(found: Tensor, expected: Tensor) -> Tensor:
    """Return ``... 4`` quaternions, or ``... 7`` with a translation before them, signed as the expected ones."""
    is_opposite = (found[..., -4:] * expected[..., -4:]).sum(-1, keepdim=True) < 0
    return torch.cat((found[..., :-4], torch.where(is_opposite, -found[..., -4:], found[..., -4:])), dim=-1)


def tensor_error(found: Tensor, expected: Tensor, is_absolute: bool) -> float:
    """Return the largest difference, relative to the largest expected value unless absolute; not finite is infinite."""
    if expected.numel() == 0:
        return 0.0
    found, expected = found.detach().cpu().double(), expected.double()
    if not bool(torch.isfinite(expected).all()):
        return 0.0 if torch.equal(found.nan_to_num(), expected.nan_to_num()) else math.inf
    error = float((found - expected).abs().max())
    if not math.isfinite(error):
        return math.inf
    largest = 1.0 if is_absolute else float(expected.abs().max())
    return error / largest if largest else error
