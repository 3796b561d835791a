"""The longer checks of the demo, from outside: ``pytest tests/web -m "web or slow"`` runs them with the quick ones.

What the default run leaves out: every odd file through the whole program, a full tour of the timeline both ways with
people hidden, and twenty runs in a row (``demo.tools.measure``, whose figures are printed with ``-s``).
"""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest
from pictures import canvas_picture, changed, settled, share_of_hue
from synthetic_clips import corner_image, write_clip
from web_steps import last_s, paused_player, seek, time_s

pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(7200)]
ROOT = Path(__file__).resolve().parents[2]
MAX_GROWTH_MB = 300


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _gif(path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(corner_image(48, 64, level)) for level in (0, 90, 180)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=200)


def _truncated(path: Path) -> None:
    write_clip(path, num_frames=40, size=(96, 128), container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])


BAD = {
    "sound.mp4": (_sound, "no picture"),
    "empty.mp4": (lambda path: path.touch(), "0 bytes"),
    "junk.mp4": (lambda path: path.write_bytes(bytes(range(256)) * 40), "not a video"),
}
GOOD = {
    "truncated.mp4": _truncated,
    "one_frame.mp4": lambda path: write_clip(path, num_frames=1),
    "animation.gif": _gif,
    "ten_bit.mkv": lambda path: write_clip(path, num_frames=4, codec="ffv1", pix_fmt="yuv420p10le"),
    "vfr.mkv": lambda path: write_clip(path, num_frames=4, times_s=[0.0, 0.1, 0.7, 0.8]),
    "odd.mkv": lambda path: write_clip(path, num_frames=4, size=(47, 63), codec="ffv1", pix_fmt="bgr0"),
}


@pytest.fixture(scope="module")
def program(proxy):
    """The API as a program behind the proxy sees it."""
    gradio_client = pytest.importorskip("gradio_client")
    return gradio_client.Client(proxy.url, ssl_verify=False, verbose=False, download_files=False)


def _is_up(url: str) -> bool:
    with urllib.request.urlopen(f"{url}healthz", timeout=120) as answer:
        return answer.status == 200


@pytest.mark.parametrize("name", BAD)
def test_the_api_reports_an_unusable_file_in_one_sentence(program, slow_app, tmp_path, name) -> None:
    from gradio_client import handle_file

    make, sentence = BAD[name]
    make(tmp_path / name)

    with pytest.raises(Exception, match=sentence) as refusal:
        program.submit(handle_file(str(tmp_path / name)), max_frames=6, api_name="/reconstruct").result()

    assert "Traceback" not in str(refusal.value)
    assert _is_up(slow_app.url)


@pytest.mark.parametrize("name", GOOD)
def test_the_api_accepts_unusual_files(program, slow_app, tmp_path, name) -> None:
    from gradio_client import handle_file

    GOOD[name](tmp_path / name)

    summary, files = program.submit(handle_file(str(tmp_path / name)), max_frames=6, api_name="/reconstruct").result()

    assert 1 <= summary["frames"] <= 6
    assert len(files) >= 8
    assert _is_up(slow_app.url)


def test_the_api_refuses_paths_of_the_server(program, slow_app) -> None:
    foreign = {"path": str(ROOT / "app.py"), "meta": {"_type": "gradio.FileData"}}

    with pytest.raises(Exception, match=r"(?i)not|error"):
        program.submit(foreign, api_name="/reconstruct").result()

    assert _is_up(slow_app.url)


def test_seeking_keeps_viewer_and_overlay_synchronous_and_people_hidden(page) -> None:
    page.locator("button.h3-tile").first.click()
    player = paused_player(page)
    parts = (0.25, 0.5, 0.75, 0.25)
    quarter, half, late, again = (seek(page, player, part * last_s(player)) for part in parts)

    assert min(changed(quarter, half), changed(half, late)) > 0.001
    assert changed(quarter, again) < changed(quarter, half) / 4

    video = page.locator("[data-h3=overlay]")
    fps = float(video.get_attribute("data-fps"))
    in_step = "([video, time, frame]) => Math.abs(video.currentTime - time) < frame"
    page.wait_for_function(in_step, arg=[video.element_handle(), time_s(player), 1 / fps])
    video.evaluate("(video, time) => { video.currentTime = time; }", 0.6 * last_s(player))
    player.wait_for_function(
        "([time, frame]) => Math.abs(window.h3r.player.time_s - time) < 1.5 * frame",
        arg=[0.6 * last_s(player), 1 / fps],
    )

    # Without the scene: its points may have a person's color.
    player.evaluate(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'Scene without people').click()"
    )
    tracks = player.evaluate("window.h3r.player.scene.people.map(person => person.id)")
    shown = {track: share_of_hue(seek(page, player, 0.5 * last_s(player)), track) for track in tracks}
    track = max(shown, key=shown.get)
    player.evaluate("track => document.querySelector(`[aria-label='Show Person ${track + 1}']`).click()", track)
    hidden = [
        share_of_hue(settled(player, lambda: canvas_picture(player)), track)
        for part in (0.5, 0.3, 0.5)
        if seek(page, player, part * last_s(player)) is not None
    ]
    assert max(hidden) < 0.3 * shown[track]


def test_twenty_consecutive_runs_leave_no_files() -> None:
    command = [sys.executable, "-m", "demo.tools.measure", "memory", "expiry", "--runs", "20", "--ttl", "180"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)

    growth = float(re.search(r"memory after 20 runs +([+-]\d+) MB", done.stdout)[1])
    pairs = re.findall(r"(?:threads|open descriptors), before and after +(\d+) and (\d+)", done.stdout)
    left = int(re.search(r"files of visitors left after their time +(\d+)", done.stdout)[1])

    assert growth < MAX_GROWTH_MB
    assert len(pairs) == 2
    assert all(int(after) <= int(before) + 2 for before, after in pairs)
    assert left == 0
