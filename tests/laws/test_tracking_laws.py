"""Laws of identities: unique within a frame, never reused, blind to the order of detections."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from human3r.tracking.assignment import log_optimal_transport, mutual_matches
from human3r.tracking.motion import MotionOptions
from human3r.tracking.tracks import TrackBank

people = st.lists(st.integers(0, 7), max_size=6, unique=True)
motion = st.sampled_from([None, MotionOptions(), MotionOptions(forget_s=0.15, unconfirmed_s=0.15)])


def _features(names: list[int]) -> Tensor:
    """Return one feature per person, 40 apart: far more than the price of a dustbin."""
    features = torch.zeros(len(names), 8)
    for row, name in enumerate(names):
        features[row, name] = 40.0
    return features


@settings(max_examples=40, deadline=None)
@given(st.lists(people, max_size=8), motion)
def test_identities_are_unique_and_numbers_only_grow(frames: list[list[int]], options: MotionOptions | None) -> None:
    bank, given_before = TrackBank.empty(options=options), 0
    for index, names in enumerate(frames):
        ids, bank = bank.assign(_features(names), 0.1 * index)
        assert len(set(ids.tolist())) == len(names)
        assert max(ids.tolist(), default=-1) < bank.next_id
        assert bank.next_id >= given_before
        assert len(set(bank.track_id.tolist())) == len(bank)
        given_before = bank.next_id


@settings(max_examples=40, deadline=None)
@given(st.lists(people, max_size=8))
def test_well_separated_people_keep_their_identities(frames: list[list[int]]) -> None:
    bank, known = TrackBank.empty(), {}
    for names in frames:
        ids, bank = bank.assign(_features(names))
        for name, identity in zip(names, ids.tolist(), strict=True):
            assert known.setdefault(name, identity) == identity
    assert bank.next_id == len(known) == len(bank)


@settings(max_examples=40, deadline=None)
@given(people, st.permutations(range(8)))
def test_the_order_of_detections_does_not_matter(names: list[int], order: list[int]) -> None:
    _, bank = TrackBank.empty().assign(_features(list(range(8))))
    ids, _ = bank.assign(_features(names))
    shuffled = sorted(names, key=order.index)
    again, _ = bank.assign(_features(shuffled))
    assert dict(zip(names, ids.tolist(), strict=True)) == dict(zip(shuffled, again.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_the_assignment_spreads_one_person_per_row_and_column(rows: int, columns: int, seed: int) -> None:
    scores = -20 * torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    mass = log_optimal_transport(scores).exp()
    # The last half-step of the iteration is over columns, so their sums are exact.
    assert torch.allclose(mass[:, :-1].sum(0), torch.ones(columns), atol=1e-4)
    matches = [row for row in mutual_matches(mass.log()).tolist() if row >= 0]
    assert len(matches) == len(set(matches))
