"""Measure the demo and print a table: ``python -m demo.tools.measure [PART ...] [--runs 20] [--model M] [--ttl 20]``.

Parts: first-geometry, sizes, seek, memory, expiry; all of them unless named. Starts demos of its own on free ports and
uses them as a program and a browser would. ``seek`` needs playwright and a Chromium; without them its row says so.
Figures are of this machine, as loaded as it is.
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from demo.engine import RunOptions
from demo.examples import EXAMPLES
from demo.human3r_engine import Human3REngine
from demo.page import messages
from demo.server import Demo
from demo.settings import Settings
from demo.tools import headless
from human3r import Reconstruction

_CLIP = EXAMPLES[2].clip
_FRAMES_PER_RUN = 4
_SIZED_FRAMES, _SIZED_POINTS = 100, 200_000
_SEEKS = 15
_HELPERS_END_S = 12.0
"""The web server's idle helper threads end after ten seconds."""
_Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class _Measured:
    """What the parts work with."""

    demo: Demo
    url: str
    engine: Human3REngine
    uploads: Path
    options: argparse.Namespace


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.tools.measure", description="Measure the demo on this machine."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure (all): {', '.join(_PARTS)}")
    parser.add_argument("--runs", type=int, default=20, help="runs in a row (%(default)s)")
    parser.add_argument("--model", default="compact", help="model (%(default)s)")
    parser.add_argument("--ttl", type=float, default=20.0, help="time to live for expiry, seconds (%(default)s)")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(_PARTS)):
        parser.error(f"unknown part {', '.join(unknown)}; choose from {', '.join(_PARTS)}")
    chosen = [name for name in _PARTS if not options.parts or name in options.parts]
    engine = Human3REngine(options.model, None)
    rows: _Rows = []
    long_lived = [name for name in chosen if name != "expiry"]
    if long_lived:
        rows += _measure(Settings(model=options.model, sweep_every_s=1), long_lived, engine, options)
    if "expiry" in chosen:
        # An upload has to live until it is read, so this one is not for the others.
        short = Settings(model=options.model, file_ttl_s=options.ttl, live_ttl_s=options.ttl, sweep_every_s=1)
        rows += _measure(short, ["expiry"], engine, options)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _measure(settings: Settings, parts: list[str], engine: Human3REngine, options: argparse.Namespace) -> _Rows:
    """Run parts against a demo of their own."""
    uploads = Path(tempfile.mkdtemp(prefix="human3r-measure-"))
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        engine.load(options.model)
        with Demo(settings, engine) as demo:
            page = demo.launch(warm_up=False)
            measured = _Measured(demo, page.local_url, engine, uploads, options)
            rows = [row for name in parts for row in _PARTS[name](measured)]
            page.close()
            return rows
    finally:
        shutil.rmtree(uploads, ignore_errors=True)


def first_geometry(measured: _Measured) -> _Rows:
    """Measure the time from the click to the first frame in the live viewer, and from Stop to the end of the run."""
    started = time.perf_counter()
    run = measured.demo.runs.start(_CLIP, RunOptions(model=measured.options.model), "measure")
    next(update for update in run if update.preview is not None)
    first_s = time.perf_counter() - started
    stopped = time.perf_counter()
    measured.demo.runs.stop("measure")
    next(update for update in run if update.text == messages.WRITING)
    stop_s = time.perf_counter() - stopped
    for _ in run:
        pass
    return [
        ("click to first geometry, model warm", f"{first_s:.2f} s"),
        ("Stop to the end of the model's work", f"{stop_s:.2f} s"),
    ]


def sizes(measured: _Measured) -> _Rows:
    """Measure the files of 100 frames with two people and 200,000 points."""
    engine = measured.engine
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
    """Bring a result to the frames, repeating it where it is shorter, and fill it up with points near its own."""
    repeats = -(-_SIZED_FRAMES // result.num_frames)
    frames = np.tile(np.arange(result.num_frames), repeats)[:_SIZED_FRAMES]
    rows = np.concatenate([np.flatnonzero(result.person_frame == frame) for frame in frames])
    person_frame = np.concatenate(
        [np.full(int((result.person_frame == frame).sum()), index) for index, frame in enumerate(frames)]
    )
    rng = np.random.default_rng(0)
    pick = rng.integers(0, len(result.points_world), _SIZED_POINTS)
    per_frame = ("K", "T_world_camera")
    per_person = ("person_track", "person_score", "global_orient", "transl", "body_pose")
    per_person += ("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose", "betas", "expression")
    per_person += ("joints_world", "joints_image_px")
    points = result.points_world[pick] + rng.normal(0, 0.02, (_SIZED_POINTS, 3)).astype(np.float32)
    return replace(
        result,
        **{name: getattr(result, name)[frames] for name in per_frame},
        **{name: getattr(result, name)[rows] for name in per_person},
        frame_index=np.arange(_SIZED_FRAMES),
        time_s=np.arange(_SIZED_FRAMES) / result.fps,
        person_frame=person_frame,
        points_world=points,
        points_color=result.points_color[pick],
        points_confidence=result.points_confidence[pick],
        points_frame=np.minimum(result.points_frame[pick], _SIZED_FRAMES - 1),
    )


def memory(measured: _Measured) -> _Rows:
    """Use the API so many times and say what has grown."""
    num_runs = measured.options.runs
    run = _program(measured)
    run()  # the first one loads and caches what all the others share
    _settle(measured.demo)
    before = _usage()
    for _ in range(num_runs):
        run()
    at_end = _usage()
    _settle(measured.demo)
    after = _usage()
    return [
        (f"memory after {num_runs} runs", f"{(at_end[0] - before[0]) / 1e6:+.0f} MB ({before[0] / 1e6:.0f} before)"),
        ("threads, before and after", f"{before[1]} and {after[1]}"),
        ("open descriptors, before and after", f"{before[2]} and {after[2]}"),
    ]


def expiry(measured: _Measured) -> _Rows:
    """Run once and say what is left of it, and after how long."""
    _program(measured)()
    started = time.monotonic()
    left = _wait_until_no_files(measured)
    value = f"{left} (looked at for {time.monotonic() - started:.0f} s, time to live {measured.options.ttl:.0f} s)"
    return [("files of visitors left after their time", value)]


def _program(measured: _Measured) -> Callable[[], None]:
    """Return a run as a program asks for it."""
    from gradio_client import Client, handle_file

    client = Client(measured.url, verbose=False, download_files=False)
    return lambda: client.submit(handle_file(str(_CLIP)), max_frames=_FRAMES_PER_RUN, api_name="/reconstruct").result()


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
    """Wait until no run and no idle helper thread of the web server is left."""
    while demo.line.counts() != (0, 0):
        time.sleep(0.2)
    time.sleep(_HELPERS_END_S)


def _wait_until_no_files(measured: _Measured) -> int:
    deadline = time.monotonic() + 10 * measured.options.ttl
    while time.monotonic() < deadline:
        tiles = sum(1 for example in EXAMPLES if example.clip.is_file())  # their pictures stay while the page is up
        num_files = sum(1 for path in measured.uploads.rglob("*") if path.is_file())
        left = max(0, num_files - tiles) + len(measured.demo.store)
        if left == 0:
            break
        time.sleep(1)
    return left


def seek(measured: _Measured) -> _Rows:
    """Measure in a headless browser how long a jump in time takes until the picture is drawn."""
    name = "seek to drawn picture, median (worst)"
    if reason := headless.missing():
        return [(name, f"not measured: {reason}")]
    outcome = measured.demo.gallery.open(EXAMPLES[2])
    if outcome is None:
        return [(name, "not measured: the example has no result for this model")]
    with headless.chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 640})
        page.set_default_timeout(300_000)
        page.goto(f"{measured.url}viewer/{outcome.shelf.token}/play/?playbackPath=../scene.viser")
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
    return [(name, f"{statistics.median(drawn_ms):.0f} ms ({max(drawn_ms):.0f} ms), drawn in software")]


_PARTS: dict[str, Callable[[_Measured], _Rows]] = {
    "first-geometry": first_geometry,
    "sizes": sizes,
    "seek": seek,
    "memory": memory,
    "expiry": expiry,
}


if __name__ == "__main__":
    main()
