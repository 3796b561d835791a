"""Replays recorded tracking: scripted features per view to costs, assignments and identities."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from human3r.tracking.assignment import distance_scores, log_optimal_transport
from human3r.tracking.tracks import TrackBank
from tests.parity.replay.rows import EXACT, FUNCTION_TOLERANCE, RowCollector, unknown_names


def tracking_seams(bank: TrackBank, features: Tensor) -> dict[str, Tensor]:
    """Return minus the distances and the log assignment, with a batch axis; nothing where they are not formed."""
    if len(bank) == 0 or len(features) == 0:
        return {}
    scores = distance_scores(bank.features, features)
    return {"scores": scores[None], "log_ot": log_optimal_transport(scores)[None]}


def replay_tracking(tensors: Mapping[str, Tensor], script: dict, collector: RowCollector) -> None:
    """Compare costs, assignments and identities of every view; ``script`` is the JSON beside the tensors."""
    bank = TrackBank.empty()
    known: set[str] = set()
    for index, official_ids in enumerate(script["official_ids"]):
        prefix = f"f{index}/"
        features = tensors[f"{prefix}tokens"][0]
        seams = tracking_seams(bank, features)
        track_id, bank = bank.assign(features)
        expected_ids = [] if official_ids is None else official_ids[0]
        collector.check(f"{prefix}ids", track_id.tolist() == expected_ids, f"{track_id.tolist()} for {expected_ids}")
        seams["smpl_id"] = track_id[None]
        for name, found in seams.items():
            if prefix + name in tensors:
                tolerance = EXACT if name == "smpl_id" else FUNCTION_TOLERANCE
                collector.compare(prefix + name, found, tensors[prefix + name], tolerance)
        known.update(prefix + name for name in (*seams, "tokens"))
    unknown_names(tensors, known, collector)
