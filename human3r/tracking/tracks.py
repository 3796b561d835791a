"""The identities of a stream: features of everybody seen so far, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.records import TensorRecord
from human3r.tracking.assignment import distance_scores, log_optimal_transport, mutual_matches
from human3r.tracking.motion import MotionOptions, TrackMotion, begin_motion, expected_distance, remember

BANK_CAPACITY = 512
"""Identities that a bank remembers: 1.5 MB of features. The official tracker has no bound; until a stream has shown
more people than this, nothing differs from it."""


@dataclass(frozen=True)
class TrackBank(TensorRecord):
    """Everybody seen so far. Immutable: ``assign`` returns a new bank.

    The official tracker never forgets (``max_age`` None). Here whoever was not seen for longest goes once the bank
    holds ``BANK_CAPACITY`` identities. A stream reset leaves the bank alone. With ``options``, which the official
    tracker does not have, identities move and their looks are means.
    """

    features: Tensor
    """``m D`` newest feature of each identity, latest frame's people first."""
    track_id: Tensor
    """``m`` int64 identity of each row."""
    age: Tensor
    """``m`` int64 frames with people since the identity was last seen."""
    next_id: int = 0
    """The first identity that was never given."""
    max_age: int | None = None
    """Identities not seen for more than so many frames with people are dropped, their numbers never reused."""
    options: MotionOptions | None = None
    """How identities move; None compares newest features."""
    motion: TrackMotion | None = None
    """How each identity moves; None without ``options`` and before anybody was seen."""

    @classmethod
    def empty(
        cls, max_age: int | None = None, device: torch.device | str = "cpu", options: MotionOptions | None = None
    ) -> TrackBank:
        """Return the bank of a stream in which nobody was seen yet."""
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(torch.zeros(0, 0, device=device), none, none, 0, max_age, options)

    def __len__(self) -> int:
        return self.track_id.shape[0]

    def assign(self, track_features: Tensor, time_s: float = 0.0) -> tuple[Tensor, TrackBank]:
        """Give an identity to everybody in a frame.

        Args:
            track_features: ``P D`` features of the frame's people.
            time_s: Time of the frame, seconds; used where identities move.

        Returns:
            ``P`` int64 identities, and the bank after the frame. A frame without people changes nothing.
        """
        num_people = track_features.shape[0]
        if num_people == 0:
            return torch.zeros(0, dtype=torch.int64, device=track_features.device), self
        matches = self._match(track_features, time_s)
        is_new = matches < 0
        fresh_id = self.next_id + is_new.cumsum(0) - 1
        is_absent = torch.ones(len(self), dtype=torch.bool, device=track_features.device)
        is_absent[matches[~is_new]] = False
        if self.max_age is not None:
            is_absent &= self.age < self.max_age
        known_id = self.track_id[matches.clamp_min(0)] if len(self) else fresh_id
        track_id = torch.where(is_new, fresh_id, known_id)
        newest, motion = self._observe(track_features, matches, time_s, is_absent)
        features = torch.cat((newest, self.features[is_absent])) if len(self) else newest
        # Rows are sorted by when they were last seen.
        bank = TrackBank(
            features=features[:BANK_CAPACITY],
            track_id=torch.cat((track_id, self.track_id[is_absent]))[:BANK_CAPACITY],
            age=torch.cat((torch.zeros_like(track_id), self.age[is_absent] + 1))[:BANK_CAPACITY],
            next_id=self.next_id + int(is_new.sum()),
            max_age=self.max_age,
            options=self.options,
            motion=None if motion is None else motion.rows(slice(BANK_CAPACITY)),
        )
        return track_id, bank

    def _match(self, track_features: Tensor, time_s: float) -> Tensor:
        """Return, per person, the row of the bank that it matches, or -1."""
        if len(self) == 0:
            return torch.full((track_features.shape[0],), -1, device=track_features.device)
        if self.options is None or self.motion is None:
            scores = distance_scores(self.features, track_features)
        else:
            scores = -expected_distance(self.features, self.motion, track_features, time_s, self.options)
        return mutual_matches(log_optimal_transport(scores))

    def _observe(
        self, track_features: Tensor, matches: Tensor, time_s: float, is_absent: Tensor
    ) -> tuple[Tensor, TrackMotion | None]:
        """Return what is remembered of the frame's people, and the motion of everybody: theirs, then the absent."""
        if self.options is None:
            return track_features, None
        begun = begin_motion(len(matches), time_s, self.options, track_features.device)
        if self.motion is None or len(self) == 0:
            return track_features, begun
        known, row = matches >= 0, matches.clamp_min(0)
        features, motion = remember(self.features[row], self.motion.rows(row), track_features, time_s, self.options)
        features = torch.where(known[:, None], features, track_features)
        chosen = {
            name: torch.where(known[:, None] if name == "rate" else known, getattr(motion, name), getattr(begun, name))
            for name in ("rate", "seen_s", "count")
        }
        return features, TrackMotion(**chosen).joined(self.motion.rows(is_absent))
