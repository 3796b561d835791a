"""Measure the demo and print a table: ``python -m demo.measure [--runs 20] [--model M]``.

Starts a demo of its own on a free port, with short times to live, and uses it as a program and a browser would. Seek
latency needs playwright and a Chromium; without them that row says so. Figures are of this machine, as loaded as it is.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from demo.engine import RunOptions
from demo.examples import EXAMPLES
from demo.human3r_engine import Human3REngine
from demo.server import Demo
from demo.settings import Settings
from human3r import Reconstruction

_CLIP = EXAMPLES[2].clip
_FRAMES_PER_RUN = 8
_TTL_S = 180.0
"""Longer than a run, for an upload has to live until it is read."""
_SIZED_FRAMES, _SIZED_POINTS = 100, 200_000
_SEEKS = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m demo.measure", description="Measure the demo on this machine.")
    parser.add_argument("--runs", type=int, default=20, help="runs in a row (%(default)s)")
    parser.add_argument("--model", default="compact", help="model (%(default)s)")
    options = parser.parse_args()
    uploads = Path(tempfile.mkdtemp(prefix="human3r-measure-"))
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    settings = Settings(model=options.model, file_ttl_s=_TTL_S, live_ttl_s=_TTL_S, sweep_every_s=1)
    engine = Human3REngine(options.model, None)
    try:
        with Demo(settings, engine) as demo:
            page = demo.launch()
            engine.load(options.model)
            rows = [("time to first geometry, model warm", f"{first_geometry_s(demo, options.model):.2f} s")]
            rows += sizes(engine)
            rows += runs_in_a_row(demo, page.local_url, options.runs, uploads)
            rows.append(("seek to drawn picture, median (worst)", seek_latency(demo, page.local_url)))
            page.close()
    finally:
        shutil.rmtree(uploads, ignore_errors=True)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def first_geometry_s(demo: Demo, model: str) -> float:
    """Return the time from the click to the first frame in the live viewer, seconds."""
    started = time.perf_counter()
    run = demo.runs.start(_CLIP, RunOptions(model=model, max_frames=_FRAMES_PER_RUN), "measure")
    next(update for update in run if update.preview is not None)
    seconds = time.perf_counter() - started
    run.close()
    return seconds


def sizes(engine: Human3REngine) -> list[tuple[str, str]]:
    """Measure the files of 100 frames with two people and 200,000 points."""
    result = _of_size(Reconstruction.load(EXAMPLES[2].precomputed))
    folder = Path(tempfile.mkdtemp(prefix="human3r-measure-"))
    try:
        for name in ("scene.viser", "scene.glb", "scene.html"):
            engine.export(result, None, folder, name)
        scene = f"{result.num_frames} frames, {len(result.track_id)} people, {len(result.points_world) // 1000}k points"
        return [(f"{path.name}, {scene}", f"{path.stat().st_size / 1e6:.2f} MB") for path in sorted(folder.iterdir())]
    finally:
        shutil.rmtree(folder)


def _of_size(result: Reconstruction) -> Reconstruction:
    """Cut a result to the frames, and fill it up with points near its own."""
    frames = slice(0, _SIZED_FRAMES)
    rows = np.flatnonzero(result.person_frame < _SIZED_FRAMES)
    rng = np.random.default_rng(0)
    pick = rng.integers(0, len(result.points_world), _SIZED_POINTS)
    per_frame = ("frame_index", "time_s", "K", "T_world_camera")
    per_person = ("person_frame", "person_track", "person_score", "global_orient", "transl", "body_pose")
    per_person += ("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose", "betas", "expression")
    per_person += ("joints_world", "joints_image_px")
    points = result.points_world[pick] + rng.normal(0, 0.02, (_SIZED_POINTS, 3)).astype(np.float32)
    return replace(
        result,
        **{name: getattr(result, name)[frames] for name in per_frame},
        **{name: getattr(result, name)[rows] for name in per_person},
        points_world=points,
        points_color=result.points_color[pick],
        points_confidence=result.points_confidence[pick],
        points_frame=np.minimum(result.points_frame[pick], _SIZED_FRAMES - 1),
    )


def runs_in_a_row(demo: Demo, url: str, num_runs: int, uploads: Path) -> list[tuple[str, str]]:
    """Use the API so many times; say what has grown and what is left when everything has expired."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False, download_files=False)

    def run() -> None:
        client.submit(handle_file(str(_CLIP)), max_frames=_FRAMES_PER_RUN, api_name="/reconstruct").result()

    run()  # the first one loads and caches what all the others share
    _settle(demo)
    before = _usage()
    for _ in range(num_runs):
        run()
    at_end = _usage()
    _settle(demo)
    files = _wait_until_no_files(demo, uploads)
    after = _usage()
    return [
        (f"memory after {num_runs} runs", f"{(at_end[0] - before[0]) / 1e6:+.0f} MB ({before[0] / 1e6:.0f} before)"),
        ("threads, before and after", f"{before[1]} and {after[1]}"),
        ("open descriptors, before and after", f"{before[2]} and {after[2]}"),
        ("files of visitors left after their time", str(files)),
    ]


def _usage() -> tuple[int, int, int]:
    """Return (resident bytes, threads, open descriptors) of this process (Linux)."""
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        resident_pages * os.sysconf("SC_PAGE_SIZE"),
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())),
    )


def _settle(demo: Demo) -> None:
    """Wait until no run and no idle helper thread of the web server is left (they end after ten seconds)."""
    while demo.line.counts() != (0, 0):
        time.sleep(0.2)
    time.sleep(12)


def _wait_until_no_files(demo: Demo, uploads: Path) -> int:
    deadline = time.monotonic() + 10 * _TTL_S
    while time.monotonic() < deadline:
        examples = sum(1 for example in EXAMPLES if example.clip.is_file())
        pictures = examples  # of the tiles: they stay for as long as the page is up
        num_files = sum(1 for path in uploads.rglob("*") if path.is_file())
        left = max(0, num_files - pictures) + max(0, len(demo.store) - examples)
        if left == 0:
            break
        time.sleep(1)
    return left


def seek_latency(demo: Demo, url: str) -> str:
    """Measure in a headless browser how long a jump in time takes until the picture is drawn."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured: playwright is not installed"
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        return "not measured: there is no Chromium"
    outcome = demo.gallery.open(EXAMPLES[2])
    if outcome is None:
        return "not measured: the example has no result for this model"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 640})
        page.set_default_timeout(300_000)
        page.goto(f"{url}viewer/{outcome.shelf.token}/play/?playbackPath=../scene.viser")
        page.wait_for_function("window.h3r && window.h3r.player")
        drawn_ms = [
            page.evaluate(
                "part => new Promise(done => { const before = performance.now(), player = window.h3r.player;"
                " player.seek(part * player.stage.last_s);"
                " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - before))); })",
                (7 * index % _SEEKS) / _SEEKS,
            )
            for index in range(_SEEKS)
        ]
        browser.close()
    return f"{statistics.median(drawn_ms):.0f} ms ({max(drawn_ms):.0f} ms), drawn in software"


if __name__ == "__main__":
    main()
