"""Matching of people per frame, and detection scores."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.evaluation.metrics.matching import box_iou, detection_scores, match_people


@pytest.fixture
def square() -> np.ndarray:
    return np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def test_the_reference_norm_prefers_the_other_pair(square: np.ndarray) -> None:
    both_axes = np.zeros((4, 2))
    both_axes[:2] = np.diag([3.0, 3.0])
    one_axis = np.zeros((4, 2))
    one_axis[:2] = np.diag([4.0, 0.0])
    predictions = np.stack([square + both_axes, square + one_axis])
    assert match_people(predictions, square[None], cost="spectral").pairs.tolist() == [[0, 0]]
    assert match_people(predictions, square[None], cost="frobenius").pairs.tolist() == [[1, 0]]


def test_people_are_matched_to_the_nearest(square: np.ndarray) -> None:
    truth = np.stack([square, square + 100, square + 200])
    matches = match_people(truth[[2, 0]] + 1.0, truth)
    assert sorted(matches.pairs.tolist()) == [[0, 2], [1, 0]]
    assert matches.misses.tolist() == [1]
    assert matches.false_positives.tolist() == []


def test_far_boxes_are_never_the_same_person(square: np.ndarray) -> None:
    matches = match_people(square[None] + 50, square[None])
    assert matches.pairs.shape == (0, 2)
    assert matches.false_positives.tolist() == matches.misses.tolist() == [0]


def test_the_reference_stops_early_in_a_crowd(square: np.ndarray) -> None:
    """Three people stand apart; pairs across them cost less than the last true pair, whose prediction is stretched."""
    truth = square + np.array([[[0.0, 0.0]], [[30.0, 0.0]], [[60.0, 0.0]]])
    stretched = truth[2] + (square - square.mean(0)) * np.array([8.0, 0.0])
    predictions = np.stack([truth[0] + 0.1, truth[1] + 0.2, stretched])
    assert len(match_people(predictions, truth, cost="frobenius").pairs) == 3
    assert match_people(predictions, truth, cost="spectral").misses.tolist() == [2]


@pytest.mark.parametrize(("num_predicted", "num_true"), [(0, 0), (0, 2), (2, 0)])
def test_a_frame_without_people_on_one_side_is_valid(square: np.ndarray, num_predicted: int, num_true: int) -> None:
    people = np.stack([square, square + 100])
    matches = match_people(people[:num_predicted], people[:num_true])
    assert len(matches.misses) == num_true
    assert len(matches.false_positives) == num_predicted


def test_boxes_count_both_end_pixels(square: np.ndarray) -> None:
    assert box_iou(square, square) == 1.0
    assert box_iou(square, square + np.array([10, 0])) == pytest.approx(11 / (2 * 121 - 11))


def test_detection_scores_are_rounded_like_the_tables() -> None:
    scores = detection_scores(num_true=10, num_misses=2, num_false_positives=1)
    assert (scores.precision, scores.recall, scores.f1) == (89.0, 80.0, 84.0)
