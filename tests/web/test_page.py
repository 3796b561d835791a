"""The page as a visitor meets it: the real app, the real model, a real browser."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from human3r.palette import person_color

pytestmark = [pytest.mark.web, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "examples" / "sports2d_walk_and_flip.mp4"
MIN_PERSON_PIXELS = 0.002
"""Least part of the picture that is in the colour of people; they stand a few metres away."""
MIN_CHANGED_PIXELS = 0.001
"""Least part of the picture that another moment must change; software rendering itself is deterministic."""


def _player(page):
    page.locator("[data-h3=recording] iframe").wait_for()
    deadline = time.monotonic() + 60
    while not (frames := [frame for frame in page.frames if "/play/" in frame.url]):
        assert time.monotonic() < deadline, "the viewer's frame did not load"
        page.wait_for_timeout(200)
    frames[0].locator("[role=slider]").wait_for(state="attached")
    return frames[0]


def _tell(page, message: dict[str, object]) -> None:
    page.evaluate(
        "m => document.querySelector('[data-h3=recording] iframe').contentWindow.postMessage(m, location.origin)",
        message,
    )


def _time_s(player) -> float:
    return float(player.locator("[role=slider]").get_attribute("aria-valuenow"))


def _last_s(player) -> float:
    return float(player.locator("[role=slider]").get_attribute("aria-valuemax"))


def _picture(player) -> np.ndarray:
    """What the viewer has drawn, ``H W 3``: read from its canvas, which costs less than a screenshot."""
    player.wait_for_function("(document.querySelector('canvas[data-engine]') || {}).width > 300")
    encoded = player.evaluate("document.querySelector('canvas[data-engine]').toDataURL('image/png')").split(",", 1)[1]
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(on_white.convert("RGB")).astype(np.int16)


def _seek(page, player, time_s: float) -> np.ndarray:
    """Move the timeline and return the picture that stays."""
    _tell(page, {"h3r": "seek", "time_s": time_s})
    before = None
    for _ in range(60):
        page.wait_for_timeout(400)
        now = _picture(player)
        is_there = abs(_time_s(player) - time_s) < 0.05
        if is_there and before is not None and np.array_equal(before, now):
            break
        before = now
    return now


def _person_pixels(picture: np.ndarray) -> float:
    """Part of the picture whose hue is that of one of the first people."""
    direction = picture - picture.mean(axis=2, keepdims=True)
    strength = np.linalg.norm(direction, axis=2)
    found = np.zeros(picture.shape[:2], dtype=bool)
    for identity in range(4):
        color = np.array(person_color(identity), dtype=float)
        hue = color - color.mean()
        alike = (direction @ hue) / (np.linalg.norm(hue) * np.maximum(strength, 1e-6))
        found |= (alike > 0.97) & (strength > 40)
    return float(found.mean())


def _listening_ports(pid: int) -> set[int]:
    """Ports on which a process and its children listen (Linux)."""
    pids = {str(pid)}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        if fields[1] in pids:
            pids.add(stat.parent.name)
    inodes = set()
    for number in pids:
        for descriptor in Path(f"/proc/{number}/fd").iterdir():
            try:
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            columns = row.split()
            if columns[3] == "0A" and columns[9] in inodes:
                ports.add(int(columns[1].rsplit(":", 1)[1], 16))
    return ports


def test_an_example_shows_people_who_move_with_the_timeline_and_the_overlay_keeps_step(page, app) -> None:
    page.locator("button.h3-tile").first.click()
    player = _player(page)
    _tell(page, {"h3r": "toggle"})

    early, late = (_seek(page, player, part * _last_s(player)) for part in (0.3, 0.6))

    assert _person_pixels(early) > MIN_PERSON_PIXELS
    assert (np.abs(early - late).max(axis=2) > 24).mean() > MIN_CHANGED_PIXELS
    video = page.locator("[data-h3=overlay]")
    frame_s = 1.0 / float(video.get_attribute("data-fps"))
    page.wait_for_function(
        "([video, time, frame]) => Math.abs(video.currentTime - time) < frame",
        arg=[video.element_handle(), _time_s(player), frame_s],
    )
    assert _listening_ports(app.pid) == {app.port}


def test_a_file_that_is_no_clip_is_one_sentence_and_the_server_goes_on(page, app, tmp_path: Path) -> None:
    fake = tmp_path / "notes.mp4"
    fake.write_text("This is text.\n" * 50)

    page.set_input_files("#h3-clip input[type=file]", str(fake))
    sentence = page.locator(".h3-problem")
    sentence.wait_for()
    text = sentence.inner_text()

    assert text.endswith(".")
    assert "Traceback" not in text
    assert "internal error" not in text
    with urllib.request.urlopen(f"{app.url}healthz", timeout=30) as answer:
        health = json.load(answer)
    assert (health["status"], health["active_jobs"], health["queued_jobs"]) == ("ok", 0, 0)


def test_stop_ends_a_run_and_keeps_what_there_is(page, app) -> None:
    page.set_input_files("#h3-clip input[type=file]", str(CLIP))
    page.locator(".h3-facts").wait_for()
    page.get_by_role("button", name="Reconstruct").click()
    page.locator(".h3-side img").wait_for(timeout=120_000)
    assert page.locator(".h3-status").inner_text().startswith("frame ")

    page.get_by_role("button", name="Stop").click()
    page.locator("[data-h3=recording] iframe").wait_for(timeout=120_000)

    assert "Stopped." in page.locator(".h3-note").inner_text()
    frames = int(page.locator(".h3-status").inner_text().split(" frame")[0])
    assert 0 < frames < 230
    links = page.locator(".h3-downloads a").all_inner_texts()
    assert links[:2] == ["scene.glb", "reconstruction.npz"]


def test_the_page_fits_a_phone(page) -> None:
    page.set_viewport_size({"width": 390, "height": 780})

    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    viewer = page.locator(".h3-viewer").bounding_box()

    assert overflow == 0
    assert viewer["height"] >= 390
