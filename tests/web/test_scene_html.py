"""``scene.html`` in headless Chromium, from disk and with the network cut: people are seen and move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pictures import COUNT_DRAWINGS, changed, screenshot, settled, share_of_hue
from synthetic_scene import walking_reconstruction

from human3r.bodies import load_body
from human3r.exporting import export
from human3r.exporting.viewer.finished import build_finished
from human3r.exporting.viewer.recording import html_page, player_scene
from human3r.surface.keyframes.collecting import encode_jpeg
from human3r.surface.meshing.sheets import Sheet

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]
NUM_FRAMES = 20


@pytest.fixture(scope="module")
def scene_page(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    body = load_body()
    path = tmp_path_factory.mktemp("scene") / "scene.html"
    export(walking_reconstruction(body, num_frames=NUM_FRAMES, num_points=2000), path, body=body)
    context = chromium.new_context(viewport={"width": 480, "height": 400}, offline=True)
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.add_init_script(COUNT_DRAWINGS)
    page.add_init_script("localStorage.setItem('h3r_hint', '1')")  # the hint vanishes between two pictures
    page.goto(Path(path).as_uri())
    page.wait_for_function("window.h3r && h3r.player")
    page.keyboard.press("Space")
    page.wait_for_function("!h3r.player.isPlaying")
    yield page
    context.close()


def seek(page: object, fraction: float) -> np.ndarray:
    """Move the timeline, which pauses it; return the picture once the view has come to rest."""
    page.evaluate("fraction => window.h3r.player.seek(fraction * window.h3r.player.end_s)", fraction)
    return settled(page, lambda: screenshot(page))


def test_people_are_visible_and_follow_the_timeline_in_both_directions(scene_page: object) -> None:
    start, away, end, again = (seek(scene_page, fraction) for fraction in (0.02, 0.37, 0.9, 0.02))
    assert min(share_of_hue(start, 1), share_of_hue(start, 2)) > 0.003
    assert share_of_hue(away, 1) > 0.003
    assert share_of_hue(away, 2) < 0.3 * share_of_hue(start, 2)
    moved, left_over = changed(start, end), changed(start, again)
    assert moved > 0.01
    assert left_over < moved / 10


def test_the_page_plays_to_the_last_frame_and_stops(scene_page: object) -> None:
    scene_page.evaluate("() => { window.h3r.player.loops = false; window.h3r.player.play(true); }")
    scene_page.wait_for_function("!window.h3r.player.isPlaying")
    assert scene_page.evaluate("window.h3r.player.stage.frame") == NUM_FRAMES - 1


def test_the_page_reports_no_script_errors(scene_page: object) -> None:
    assert scene_page.errors == []


SEEN = """
window.seen = [];
setInterval(() => {
  const scene = window.__viserMutable && __viserMutable.scene, now = { points: false, surface: false };
  if (!scene) return;
  scene.traverseVisible((node) => {
    now.points ||= Boolean(node.isPoints);
    now.surface ||= Boolean(node.isMesh && node.material.map && node.geometry.attributes.uv);
  });
  seen.push(now);
}, 10);
"""
"""What is in the scene, again and again."""


def test_there_are_points_until_the_surface_is_drawn(chromium, tmp_path: Path) -> None:
    path = tmp_path / "scene.html"
    body = load_body()
    texture = np.random.default_rng(0).integers(0, 255, (800, 800, 3), dtype=np.uint8)
    corners = np.array([[-2, 0, -4], [2, 0, -4], [2, 3, -4], [-2, 3, -4]], dtype=np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32)
    sheet = Sheet("scene_0_0", corners, uv, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int64), encode_jpeg(texture))
    result = walking_reconstruction(body, num_frames=2, num_points=500)
    path.write_text(html_page(player_scene(build_finished(result, body, [sheet]))), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 480, "height": 400})
    page.set_default_timeout(600_000)
    page.add_init_script(SEEN)
    page.goto(path.as_uri())
    page.wait_for_function("seen.length && window.h3r && h3r.player && seen.at(-1).surface && !seen.at(-1).points")
    seen = page.evaluate("seen.slice(seen.findIndex(({ points, surface }) => points || surface))")
    page.close()
    assert seen[0] == {"points": True, "surface": False}
    assert all(moment["points"] or moment["surface"] for moment in seen)
