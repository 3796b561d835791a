"""The identities of a stream and their features."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.records import TensorRecord, concatenate
from human3r.tracking.assignment import distance_scores, log_optimal_transport, mutual_matches
from human3r.tracking.motion import (
    MotionOptions,
    TrackMotion,
    appearance_distance,
    begin_motion,
    expected_distance,
    is_remembered,
    update_tracks,
)

BANK_CAPACITY = 512
"""Maximum number of identities in a bank, 1.5 MB of features. Up to it the paper's unlimited tracker agrees."""


@dataclass(frozen=True)
class TrackBank(TensorRecord):
    """The identities seen so far. Immutable: ``assign`` returns a new bank.

    Beyond ``BANK_CAPACITY`` identities, those unseen for longest are dropped. A stream reset does not change the bank.
    The paper's tracker has no ``options``.
    """

    features: Tensor
    """``m D`` latest feature of each identity, people of the latest frame first."""
    track_id: Tensor
    """``m`` int64 identity of each row."""
    next_id: int = 0
    """The lowest unused identity."""
    options: MotionOptions | None = None
    """Motion model; None compares latest features."""
    motion: TrackMotion | None = None
    """Of each identity; None without ``options`` and before the first person."""
    is_earlier: Tensor | None = None
    """``m`` bool: identities of earlier shots, matched only by clear agreement of the appearance; None without any."""
    last_s: float | None = None
    """Time of the latest frame, seconds; used by the motion model, None before the first frame."""

    @classmethod
    def empty(cls, device: torch.device | str = "cpu", options: MotionOptions | None = None) -> TrackBank:
        """Return the bank of a stream without people so far."""
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(torch.zeros(0, 0, device=device), none, 0, options)

    def __len__(self) -> int:
        return self.track_id.shape[0]

    def after_cut(self) -> TrackBank:
        """Return the bank for the first frame after a cut; without a motion model, features are not appearances."""
        if self.options is None or len(self) == 0:
            return replace(TrackBank.empty(self.features.device, self.options), next_id=self.next_id)
        return replace(self, is_earlier=torch.ones_like(self.track_id, dtype=torch.bool))

    def assign(self, track_features: Tensor, time_s: float = 0.0) -> tuple[Tensor, TrackBank]:
        """Assign identities to all people of a frame.

        Args:
            track_features: ``P D`` features of the frame's people.
            time_s: Time of the frame, seconds; used by the motion model.

        Returns:
            ``P`` int64 identities, and the bank after the frame; one without people leaves the identities as they are.
        """
        if track_features.shape[0] == 0:
            after = self if self.options is None else replace(self, last_s=time_s)
            return torch.zeros(0, dtype=torch.int64, device=track_features.device), after
        return self._without_forgotten(time_s)._assign(track_features, time_s)

    def _without_forgotten(self, time_s: float) -> TrackBank:
        if self.options is None or self.motion is None:
            return self
        # Whoever was in the frame before is not absent, however slow the stream is.
        kept = is_remembered(self.motion, time_s, self.options) | (self.motion.seen_s == self.last_s)
        return replace(
            self,
            features=self.features[kept],
            track_id=self.track_id[kept],
            motion=self.motion.map(lambda values: values[kept]),
            is_earlier=None if self.is_earlier is None else self.is_earlier[kept],
        )

    def _assign(self, track_features: Tensor, time_s: float) -> tuple[Tensor, TrackBank]:
        matches = self._match(track_features, time_s)
        is_new = matches < 0
        fresh_id = self.next_id + is_new.cumsum(0) - 1
        is_absent = torch.ones(len(self), dtype=torch.bool, device=track_features.device)
        is_absent[matches[~is_new]] = False
        known_id = self.track_id[matches.clamp_min(0)] if len(self) else fresh_id
        track_id = torch.where(is_new, fresh_id, known_id)
        newest, motion = self._observe(track_features, matches, time_s, is_absent)
        features = torch.cat((newest, self.features[is_absent])) if len(self) else newest
        # Rows are sorted by the time of the last observation, so that the oldest are dropped.
        bank = TrackBank(
            features=features[:BANK_CAPACITY],
            track_id=torch.cat((track_id, self.track_id[is_absent]))[:BANK_CAPACITY],
            next_id=self.next_id + int(is_new.sum()),
            options=self.options,
            motion=None if motion is None else motion.map(lambda values: values[:BANK_CAPACITY]),
            is_earlier=self._still_earlier(track_id, is_absent),
            last_s=time_s,
        )
        return track_id, bank

    def _match(self, track_features: Tensor, time_s: float) -> Tensor:
        """Return ``P`` matching rows of the bank, or -1."""
        if len(self) == 0:
            return torch.full((track_features.shape[0],), -1, device=track_features.device)
        if self.options is None or self.motion is None:
            scores = distance_scores(self.features, track_features)
        else:
            scores = -expected_distance(self.features, self.motion, track_features, time_s, self.options)
            if self.is_earlier is not None:
                apart = appearance_distance(self.features, track_features, self.options)
                scores = torch.where(self.is_earlier[:, None], -apart, scores)
        return mutual_matches(log_optimal_transport(scores))

    def _still_earlier(self, track_id: Tensor, is_absent: Tensor) -> Tensor | None:
        """Return which rows of the next bank are of earlier shots; people of this frame are not."""
        if self.is_earlier is None:
            return None
        earlier = torch.cat((torch.zeros_like(track_id, dtype=torch.bool), self.is_earlier[is_absent]))
        return earlier[:BANK_CAPACITY]

    def _observe(
        self, track_features: Tensor, matches: Tensor, time_s: float, is_absent: Tensor
    ) -> tuple[Tensor, TrackMotion | None]:
        """Return the updated features of the frame's people, and their motion followed by that of the absent."""
        if self.options is None:
            return track_features, None
        begun = begin_motion(len(matches), time_s, self.options, track_features.device)
        if self.motion is None or len(self) == 0:
            return track_features, begun
        known, row = matches >= 0, matches.clamp_min(0)
        if self.is_earlier is not None:
            # No motion from one shot to the next.
            known = known & ~self.is_earlier[row]
        matched = self.motion.map(lambda values: values[row])
        features, motion = update_tracks(self.features[row], matched, track_features, time_s, self.options)
        features = torch.where(known[:, None], features, track_features)
        rate = torch.where(known[:, None], motion.rate, begun.rate)
        seen_s = torch.where(known, motion.seen_s, begun.seen_s)
        here = TrackMotion(rate, seen_s, torch.where(known, motion.count, begun.count))
        return features, concatenate([here, self.motion.map(lambda values: values[is_absent])])
