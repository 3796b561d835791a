"""Recurrent memory of the lifter: one state per person.

Owns the recurrent cell and the association of states with people from frame to frame, by the features of the tracker.
Identities of the result are the tracker's: an identity may outlive its state here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.models.compact.matching import alike
from human3r.models.layers.casting import Linear
from human3r.records import TensorRecord

MEMORY_WIDTH = 256
"""Length of the state of one person."""

_MAX_UNSEEN = 90
"""Frames after which the state of an unseen person is dropped."""
_MAX_PEOPLE = 64
"""Most states, the latest first."""


@dataclass(frozen=True)
class PersonStates(TensorRecord):
    """States of M people of earlier frames, latest first."""

    features: Tensor
    """``M F`` ``Detections.track_features`` of the last frame with each person."""
    state: Tensor
    """``M width`` of ``PersonMemory``."""
    unseen: Tensor
    """``M`` int64 frames since."""

    @classmethod
    def nobody(cls, like: Tensor, width: int) -> PersonStates:
        """Return the memory before the first frame; ``like`` is ``P F`` features."""
        none = like.new_zeros((0, width))
        return cls(like[:0], none, none.new_zeros(0, dtype=torch.int64))

    def recall(self, features: Tensor) -> Tensor:
        """Return the row of each person of ``P F`` features, -1 for new people: ``P`` int64."""
        return alike(features, self.features)

    def states_of(self, rows: Tensor) -> Tensor:
        """Return the states ``P width`` at ``rows`` from ``recall``; zero for new people."""
        padded = nn.functional.pad(self.state, (0, 0, 0, 1))
        return padded[rows]

    def updated(self, rows: Tensor, features: Tensor, state: Tensor) -> PersonStates:
        """Return the memory after a frame with P people, from their new features and states."""
        is_gone = torch.ones(len(self.features) + 1, dtype=torch.bool, device=rows.device)
        is_gone[rows] = False
        is_kept = is_gone[:-1] & (self.unseen < _MAX_UNSEEN)
        return PersonStates(
            features=torch.cat([features, self.features[is_kept]])[:_MAX_PEOPLE],
            state=torch.cat([state, self.state[is_kept]])[:_MAX_PEOPLE],
            unseen=torch.cat([torch.zeros_like(rows), self.unseen[is_kept] + 1])[:_MAX_PEOPLE],
        )


class PersonMemory(nn.Module):
    """A gated recurrent unit whose output is added to the features of the keypoint encoder.

    The output layer is initialized to zero: a lifter trained without memory predicts the same until it is trained.

    Args:
        dim: Width of the keypoint encoder.
        width: Length of the state.

    Source: Cho et al. 2014 (arXiv 1406.1078); the reset gate acts on the product, as in ``nn.GRU``.
    """

    def __init__(self, dim: int, width: int = MEMORY_WIDTH) -> None:
        super().__init__()
        self.width = width
        self.enter = Linear(dim, 3 * width)
        self.recur = Linear(width, 3 * width)
        self.leave = Linear(width, dim, bias=False)
        with torch.no_grad():
            self.leave.weight.zero_()
            # An update gate of about .1: the initial time constant is ten frames.
            self.enter.bias[width : 2 * width] = 2.0

    def initial_state(self, count: int) -> Tensor:
        """Return the states ``P width`` of new people."""
        return self.leave.weight.new_zeros((count, self.width), dtype=torch.float32)

    def forward(
        self, features: Tensor, state: Tensor, is_seen: Tensor | None = None, is_new: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Advance by T frames.

        Args:
            features: ``T P dim`` of the keypoint encoder.
            state: ``P width`` before the first frame.
            is_seen: ``T P`` bool; the state of an unseen person stays. None: all are seen.
            is_new: ``T P`` bool; states that are set to zero before a frame. None: none.

        Returns:
            Features of the same shape, and the states ``P width`` after the last frame.
        """
        entering = self.enter(features).float()
        states = []
        for index, gates in enumerate(entering):
            state = state if is_new is None else state.masked_fill(is_new[index, :, None], 0.0)
            reset, keep, candidate = gates.split(self.width, dim=1)
            own_reset, own_keep, own_candidate = self.recur(state).float().split(self.width, dim=1)
            candidate = torch.tanh(candidate + torch.sigmoid(reset + own_reset) * own_candidate)
            following = torch.lerp(candidate, state, torch.sigmoid(keep + own_keep))
            state = following if is_seen is None else torch.where(is_seen[index, :, None], following, state)
            states.append(state)
        return features + self.leave(torch.stack(states)), state
