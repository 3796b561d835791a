"""Replays recorded numbers of the official inference against this network, tensor by tensor."""

from __future__ import annotations

from human3r.evaluation.parity.replay import run_parity
from human3r.evaluation.parity.rows import ParityRow

__all__ = ["ParityRow", "run_parity"]
