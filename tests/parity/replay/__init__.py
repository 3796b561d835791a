"""Replays recorded numbers of the released inference code against this network, tensor by tensor."""

from __future__ import annotations

from tests.parity.replay.replay import run_parity
from tests.parity.replay.rows import ParityRow

__all__ = ["ParityRow", "run_parity"]
