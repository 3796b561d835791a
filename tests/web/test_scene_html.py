"""``scene.html`` in headless Chromium, from disk and with the network cut: people are seen and move."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_scene import walking_reconstruction

from human3r.bodies import load_body
from human3r.export import export_file
from human3r.palette import person_color

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]
LISTEN = "window.frames_seen=[];addEventListener('message',e=>{if(e.data.h3r)frames_seen.push(e.data.i)})"
NUM_FRAMES = 20
FPS = 10.0


@pytest.fixture(scope="module")
def scene_page(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    body = load_body()
    path = tmp_path_factory.mktemp("scene") / "scene.html"
    export_file(walking_reconstruction(body, num_frames=NUM_FRAMES, num_points=2000), path, body=body)
    context = chromium.new_context(viewport={"width": 480, "height": 400}, offline=True)
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.add_init_script(LISTEN)
    page.goto(Path(path).as_uri())
    page.wait_for_selector("canvas")
    page.wait_for_function(f"frames_seen.includes({NUM_FRAMES - 1})")
    page.keyboard.press("Space")
    yield page
    context.close()


def picture(page: object) -> np.ndarray:
    """The page as it looks now, ``[height, width, 3]``, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(float)


def settled_picture(page: object) -> np.ndarray:
    """The page once it has looked the same for three seconds; software rendering may need many."""
    latest, equal_looks = picture(page), 0
    for _ in range(90):
        page.wait_for_timeout(1000)
        earlier, latest = latest, picture(page)
        equal_looks = equal_looks + 1 if np.abs(coarse(latest) - coarse(earlier)).max() < 8 else 0
        if equal_looks == 3:
            return latest
    raise AssertionError("the page never came to rest")


def seek(page: object, fraction: float) -> np.ndarray:
    """Click the timeline; return the picture once its clock shows that time and the view has come to rest."""
    box = page.locator(".mantine-Slider-root").first.bounding_box()
    page.mouse.click(box["x"] + 2 + fraction * (box["width"] - 4), box["y"] + box["height"] / 2)
    last_second = (NUM_FRAMES - 1) / FPS
    page.wait_for_function(
        f"Math.abs(document.querySelector('input').value - {fraction * last_second}) < {1 / FPS}",
    )
    page.mouse.move(2, 2)
    return settled_picture(page)


def coarse(image: np.ndarray, block: int = 8) -> np.ndarray:
    """Means over blocks of pixels: the viewer changes its resolution under load, which edges alone show."""
    height, width = (size // block for size in image.shape[:2])
    return image[: height * block, : width * block].reshape(height, block, width, block, 3).mean(axis=(1, 3))


def share_of_hue(picture: np.ndarray, track: int) -> float:
    """Share of saturated pixels whose direction in colour space is that of a person."""
    color = np.array(person_color(track), float)
    away = picture - picture.mean(axis=-1, keepdims=True)
    wanted = color - color.mean()
    length = np.linalg.norm(away, axis=-1)
    cosine = (away @ wanted) / np.maximum(length, 1e-6) / np.linalg.norm(wanted)
    return float(((cosine > 0.96) & (length > 40)).mean())


def test_people_are_seen_move_with_the_timeline_and_come_back(scene_page: object) -> None:
    start, away, end, again = (seek(scene_page, fraction) for fraction in (0.02, 0.37, 0.9, 0.02))
    assert min(share_of_hue(start, 1), share_of_hue(start, 2)) > 0.003
    assert share_of_hue(away, 1) > 0.003
    assert share_of_hue(away, 2) < 0.3 * share_of_hue(start, 2)
    moved = (np.abs(coarse(start) - coarse(end)).max(axis=-1) > 25).mean()
    left_over = (np.abs(coarse(start) - coarse(again)).max(axis=-1) > 25).mean()
    assert moved > 0.01
    assert left_over < moved / 10


def test_the_page_reports_no_script_errors(scene_page: object) -> None:
    assert scene_page.errors == []
