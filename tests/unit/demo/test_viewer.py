"""The live viewers' bookkeeping and the client page."""

from __future__ import annotations

import gzip

from standin import StandInLive

from demo.viewer import LiveScenes, client_page


def test_a_session_has_one_live_viewer(live: LiveScenes) -> None:
    first, second = StandInLive(), StandInLive()

    live.add("one", "someone", first)
    live.add("two", "someone", second)

    assert first.is_closed
    assert not second.is_closed
    assert live.port("one") is None


def test_the_oldest_live_viewer_closes_when_there_are_too_many(live: LiveScenes, clock) -> None:
    scenes = [StandInLive() for _ in range(3)]
    for second, scene in enumerate(scenes):
        clock.now_s = second
        live.add(f"token {second}", f"visitor {second}", scene)

    assert [scene.is_closed for scene in scenes] == [True, False, False]


def test_a_live_viewer_closes_after_its_time(live: LiveScenes, clock) -> None:
    scene = StandInLive()
    live.add("one", "someone", scene)

    clock.now_s = 901

    assert live.sweep() == 1
    assert scene.is_closed


def test_the_client_page_is_visers_with_our_head() -> None:
    plain, gzipped = client_page()

    assert b"h3r.Player" in plain
    assert b"<title>Human3R</title>" in plain
    assert gzip.decompress(gzipped) == plain
