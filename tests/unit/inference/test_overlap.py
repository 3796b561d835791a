"""Whether stages of a live stream overlap: only where that makes many more frames."""

from __future__ import annotations

import threading

from human3r.inference.live.overlap import Overlap, OverlapOptions


def ways_of(overlap: Overlap, *, single_s: float, overlapped_s: float, share: float, seconds: float) -> list[bool]:
    """Run frames that take one time or the other, and return whether they overlapped."""
    now_s, ways = 0.0, []
    while now_s < seconds:
        assert overlap.begin()
        ways.append(overlap.is_on)
        now_s += overlapped_s if overlap.is_on else single_s
        overlap.add(share * 0.1, 0.1)
        overlap.end(now_s)
    return ways


def test_with_free_cores_stages_overlap_always() -> None:
    assert all(ways_of(Overlap(), single_s=0.2, overlapped_s=0.1, share=0.9, seconds=60))


def test_with_no_core_to_spare_one_frame_follows_the_other() -> None:
    ways = ways_of(Overlap(), single_s=0.21, overlapped_s=0.2, share=0.4, seconds=60)
    assert sum(ways) < 0.2 * len(ways)
    assert any(ways[len(ways) // 2 :])  # tried again


def test_where_it_doubles_the_rate_stages_overlap_though_they_wait() -> None:
    ways = ways_of(Overlap(), single_s=0.2, overlapped_s=0.1, share=0.6, seconds=60)
    assert sum(ways) > 0.9 * len(ways)


def test_when_cores_become_free_stages_overlap_again() -> None:
    overlap = Overlap(OverlapOptions(longest_pause_s=2))
    ways_of(overlap, single_s=0.21, overlapped_s=0.2, share=0.4, seconds=20)
    assert all(ways_of(overlap, single_s=0.2, overlapped_s=0.1, share=0.9, seconds=60)[-20:])


def test_whoever_waits_to_begin_is_released_at_the_end() -> None:
    overlap = Overlap()
    overlap.is_on = False
    assert overlap.begin()
    begun: list[bool] = []
    waiting = threading.Thread(target=lambda: begun.append(overlap.begin()))
    waiting.start()
    overlap.close()
    waiting.join(60)
    assert begun == [False]
