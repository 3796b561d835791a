"""Records of tensors behave as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord, concatenate


@dataclass(frozen=True)
class Inner(TensorRecord):
    place: Tensor


@dataclass(frozen=True)
class Outer(TensorRecord):
    inner: Inner
    score: Tensor


def test_records_are_concatenated_with_nested_tensors() -> None:
    first, second = (Outer(Inner(torch.rand(count, 2)), torch.rand(count)) for count in (3, 0))
    third = Outer(Inner(torch.rand(2, 2)), torch.rand(2))

    joined = concatenate([first, second, third])

    assert torch.equal(joined.inner.place, torch.cat([first.inner.place, third.inner.place]))
    assert torch.equal(joined.score, torch.cat([first.score, third.score]))
