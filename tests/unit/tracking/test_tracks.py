"""Identities: who is recognized, who is new, and what the bank keeps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from human3r.tracking.assignment import distance_scores, log_optimal_transport, mutual_matches
from human3r.tracking.motion import MotionOptions
from human3r.tracking.tracks import TrackBank


def _features(*people: float) -> Tensor:
    """One feature per person; people of different numbers are far apart."""
    return torch.tensor([[30.0 * person, 0.0] for person in people]).reshape(-1, 2)


def test_assignment_has_the_published_values() -> None:
    log_assignment = log_optimal_transport(-torch.tensor([[2.0, 9.0, 14.0], [12.0, 6.0, 11.0]]))
    expected = [
        [0.9566320, 0.0035819, 0.0001329, 0.0136988],
        [0.0004952, 0.8203766, 0.0304398, 0.1562048],
        [0.0428728, 0.1760415, 0.9694273, 1.8300965],
    ]
    for row, values in zip(log_assignment.exp().tolist(), expected, strict=True):
        assert row == pytest.approx(values, abs=1e-6)
    assert mutual_matches(log_assignment).tolist() == [0, 1, -1]


def test_distances_are_euclidean() -> None:
    assert distance_scores(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])).tolist() == [[-5.0]]


def test_a_first_frame_numbers_people_in_order() -> None:
    ids, bank = TrackBank.empty().assign(_features(0, 1, 2))
    assert ids.tolist() == [0, 1, 2]
    assert len(bank) == 3


def test_people_keep_their_identity_when_their_order_changes() -> None:
    _, bank = TrackBank.empty().assign(_features(0, 1, 2))
    ids, _ = bank.assign(_features(2, 0, 1))
    assert ids.tolist() == [2, 0, 1]


def test_a_person_who_was_away_is_recognized() -> None:
    _, bank = TrackBank.empty().assign(_features(0, 1))
    for _ in range(5):
        _, bank = bank.assign(_features(1))
    ids, _ = bank.assign(_features(0))
    assert ids.tolist() == [0]


def test_newcomers_get_numbers_that_were_never_given() -> None:
    _, bank = TrackBank.empty().assign(_features(0, 1))
    ids, bank = bank.assign(_features(5, 0, 6))
    assert ids.tolist() == [2, 0, 3]
    assert bank.next_id == 4


def test_a_frame_without_people_changes_nothing() -> None:
    _, bank = TrackBank.empty().assign(_features(0, 1))
    ids, after = bank.assign(_features())
    assert ids.tolist() == []
    assert after is bank


def test_zero_people_give_an_empty_bank() -> None:
    ids, bank = TrackBank.empty().assign(torch.zeros(0, 7))
    assert (ids.tolist(), len(bank)) == ([], 0)


def test_a_bank_is_not_changed_by_assigning() -> None:
    _, bank = TrackBank.empty().assign(_features(0, 1))
    features, ids = bank.features.clone(), bank.track_id.clone()
    bank.assign(_features(1, 7))
    assert torch.equal(bank.features, features)
    assert torch.equal(bank.track_id, ids)


def test_a_matched_feature_is_replaced_by_the_newest() -> None:
    _, bank = TrackBank.empty().assign(_features(0))
    _, bank = bank.assign(_features(0.05))
    assert torch.equal(bank.features, _features(0.05))


def test_without_a_motion_model_no_identity_is_dropped_below_the_capacity() -> None:
    bank = TrackBank.empty()
    for person in range(40):
        _, bank = bank.assign(_features(person))
    assert len(bank) == 40


def test_a_full_bank_drops_identities_unseen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("human3r.tracking.tracks.BANK_CAPACITY", 4)
    bank = TrackBank.empty()
    for person in range(4):
        _, bank = bank.assign(_features(person))
    _, bank = bank.assign(_features(0))
    ids, bank = bank.assign(_features(9))
    assert ids.tolist() == [4]
    assert bank.track_id.tolist() == [4, 0, 3, 2]
    ids, bank = bank.assign(_features(1))
    assert ids.tolist() == [5]
    assert len(bank) == 4


def _seen(x: float, *appearance: float) -> torch.Tensor:
    return torch.tensor([[x, 0.0, 0.0, *appearance]])


def test_across_a_cut_only_clear_agreement_of_appearance_matches():
    bank = TrackBank.empty(options=MotionOptions())
    for step in range(5):
        _, bank = bank.assign(_seen(0.0, 8.0, 0.0), step / 10)
    alike, _ = bank.after_cut().assign(_seen(90.0, 8.0, 1.0), 0.5)
    other, _ = bank.after_cut().assign(_seen(0.0, 4.0, 2.0), 0.5)
    assert alike.tolist() == [0]
    assert other.tolist() == [1]


def test_without_appearance_all_people_are_new_after_a_cut():
    _, bank = TrackBank.empty().assign(torch.ones(1, 4))
    track_id, _ = bank.after_cut().assign(torch.ones(1, 4))
    assert track_id.tolist() == [1]
