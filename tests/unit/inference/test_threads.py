"""Threads of a run: overlapping blocks never halve the number of threads twice, and restore it."""

from __future__ import annotations

import torch

from human3r.inference.loading.profile import COMPACT_PROFILE, PAPER_PROFILE
from human3r.inference.loading.threads import stage_threads

CPU = torch.device("cpu")


def test_blocks_that_overlap_restore_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(8)
        first, second = stage_threads(COMPACT_PROFILE, CPU), stage_threads(COMPACT_PROFILE, CPU)
        first.__enter__()
        second.__enter__()
        assert torch.get_num_threads() == 4
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)


def test_a_profile_without_overlapping_stages_keeps_all_threads() -> None:
    before = torch.get_num_threads()
    with stage_threads(PAPER_PROFILE, CPU):
        assert torch.get_num_threads() == before
