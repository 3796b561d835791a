"""Matching of two sets of people by optimal transport with a dustbin on either side.

Source: SuperGlue (arXiv 1911.11763), sec. 3.2; constants of Human3R (arXiv 2510.06219).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DUSTBIN_SCORE = -10.0
"""Score of leaving a person unmatched: the negative feature distance above which no match is made."""
SINKHORN_ITERATIONS = 20
MATCH_THRESHOLD = 0.2
"""Minimum transported mass of a match."""


def distance_scores(remembered: Tensor, current: Tensor) -> Tensor:
    """Return ``m n`` scores: negative Euclidean distances between features ``m D`` and ``n D``."""
    return -torch.cdist(remembered, current, compute_mode="donot_use_mm_for_euclid_dist")


def log_optimal_transport(scores: Tensor) -> Tensor:
    """Return the log assignment ``m+1 n+1`` of scores ``m n``, dustbins last, in units of one person.

    Sinkhorn iterations in the log domain; unit mass per person, and each dustbin can take all people of the other side.
    """
    num_rows, num_columns = scores.shape
    padded = torch.nn.functional.pad(scores, (0, 1, 0, 1), value=DUSTBIN_SCORE)
    unit = -math.log(num_rows + num_columns)
    log_mu = scores.new_full((num_rows + 1,), unit)
    log_nu = scores.new_full((num_columns + 1,), unit)
    log_mu[-1] += math.log(num_columns)
    log_nu[-1] += math.log(num_rows)
    u, v = torch.zeros_like(log_mu), torch.zeros_like(log_nu)
    for _ in range(SINKHORN_ITERATIONS):
        u = log_mu - torch.logsumexp(padded + v, dim=1)
        v = log_nu - torch.logsumexp(padded + u[:, None], dim=0)
    return padded + u[:, None] + v - unit


def mutual_matches(log_assignment: Tensor) -> Tensor:
    """Return the row that matches each column, or -1: ``n`` int64.

    A match is the maximum of its row and of its column and exceeds ``MATCH_THRESHOLD`` of a person's mass.

    Args:
        log_assignment: ``m+1 n+1`` from ``log_optimal_transport``, m and n not 0.
    """
    inner = log_assignment[:-1, :-1]
    best_column = inner.argmax(dim=1)
    mass, best_row = inner.max(dim=0)
    columns = torch.arange(inner.shape[1], device=inner.device)
    is_match = (best_column[best_row] == columns) & (mass.exp() > MATCH_THRESHOLD)
    return torch.where(is_match, best_row, -1)
