"""Replays recorded tracking: scripted features per view to costs, assignments and identities."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from human3r.tracking.assignment import distance_scores, log_optimal_transport
from human3r.tracking.tracks import TrackBank
from tests.parity.replay.rows import EXACT, FUNCTION_TOLERANCE, RowCollector


def tracking_activations(bank: TrackBank, features: Tensor) -> dict[str, Tensor]:
    """Return negative distances and the log assignment, with a batch axis; nothing without people on either side."""
    if len(bank) == 0 or len(features) == 0:
        return {}
    scores = distance_scores(bank.features, features)
    return {"scores": scores[None], "log_ot": log_optimal_transport(scores)[None]}


def replay_tracking(tensors: Mapping[str, Tensor], script: dict, collector: RowCollector) -> None:
    """Compare costs, assignments and identities of every view; ``script`` is the JSON beside the tensors."""
    bank = TrackBank.empty()
    found: dict[str, tuple[Tensor, float]] = {}
    inputs: list[str] = []
    for index, released_ids in enumerate(script["official_ids"]):
        prefix = f"f{index}/"
        inputs.append(f"{prefix}tokens")
        features = tensors[inputs[-1]][0]
        activations = tracking_activations(bank, features)
        track_id, bank = bank.assign(features)
        expected_ids = [] if released_ids is None else released_ids[0]
        collector.check(f"{prefix}ids", track_id.tolist() == expected_ids, f"{track_id.tolist()} for {expected_ids}")
        found |= {prefix + name: (values, FUNCTION_TOLERANCE) for name, values in activations.items()}
        found[f"{prefix}smpl_id"] = track_id[None], EXACT
    collector.compare_all(tensors, found, inputs)
