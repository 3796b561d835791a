"""Measure the demo and print a table: ``python -m demo.tools.measure [PART ...] [--runs 20] [--model M] [--ttl 20]``.

Parts: first-geometry, sizes, seek, memory, expiry; all of them unless named. Starts demos of its own on free ports and
uses them as a program and a browser would. ``seek`` needs playwright and Chromium. The figures hold for this machine
under its present load.
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
from dataclasses import dataclass
from pathlib import Path

import human3r
from demo import messages
from demo.engine import Engine, RunRequest
from demo.examples import EXAMPLES, available_examples
from demo.jobs import Visitor
from demo.server import Demo
from demo.settings import Settings
from demo.tools import headless

_EXAMPLE = EXAMPLES[2]
_FRAMES_PER_RUN = 4
_RUNS_PER_POINT = 5
_NUM_SEEKS = 15
_IDLE_THREADS_END_S = 12.0
"""The web server's idle worker threads end after ten seconds."""
_DRAWN = """() => {
  let draws = 0, triangles = 0, bytes = 0;
  const maps = new Set();
  window.__viserMutable.scene.traverseVisible(({ geometry, material }) => {
    if (!geometry || !geometry.attributes.position) return;
    draws += 1;
    triangles += (geometry.index || geometry.attributes.position).count / 3;
    const map = material.map;
    if (map && map.image && !maps.has(map)) { maps.add(map); bytes += 4 * map.image.width * map.image.height; }
  });
  const player = h3r.player, times = player.stage.times_s, before = performance.now();
  times.forEach((time) => player.show(time));
  return [draws, triangles, bytes, (performance.now() - before) / times.length];
}"""
"""What one frame costs: calls, triangles and texture bytes that are drawn, and milliseconds of the player's script."""
_Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class _Context:
    """What the measurements use."""

    demo: Demo
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
    human3r.limit_arenas()  # as ``serve`` does
    engine = Engine(options.model, None)
    rows: _Rows = []
    if others := [name for name in chosen if name != "expiry"]:
        rows += _measure(Settings(model=options.model, sweep_every_s=1), others, engine, options)
    if "expiry" in chosen:
        # Its uploads expire soon, which would break the other parts.
        short = Settings(model=options.model, file_ttl_s=options.ttl, sweep_every_s=1)
        rows += _measure(short, ["expiry"], engine, options)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _measure(settings: Settings, parts: list[str], engine: Engine, options: argparse.Namespace) -> _Rows:
    """Measure parts with a demo of their own."""
    uploads = Path(tempfile.mkdtemp(prefix="human3r-measure-"))
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        engine.load(engine.model_names()[0])
        with Demo(settings, engine) as demo:
            page = demo.launch(warm_up=False)
            context = _Context(demo, uploads, options)
            rows = [row for name in parts for row in _PARTS[name](context)]
            page.close()
            return rows
    finally:
        shutil.rmtree(uploads, ignore_errors=True)


def first_geometry(context: _Context) -> _Rows:
    """Measure the time from the click to the first frame in the live viewer, and from Stop to the end of the run."""
    started = time.perf_counter()
    request = RunRequest(_EXAMPLE.clip, "auto", human3r.ReconstructOptions(max_frames=300))
    run = context.demo.runs.start(request, Visitor("measure"))
    next(update for update in run if update.preview is not None)
    first_s = time.perf_counter() - started
    stopped = time.perf_counter()
    context.demo.runs.stop("measure")
    next(update for update in run if update.text == messages.WRITING)
    stop_s = time.perf_counter() - stopped
    for _ in run:
        pass
    return [
        ("click to first geometry, model loaded", f"{first_s:.2f} s"),
        ("Stop to the end of the model's work", f"{stop_s:.2f} s"),
    ]


def sizes(context: _Context) -> _Rows:
    """Measure the files of an example."""
    result = human3r.Reconstruction.load(_EXAMPLE.precomputed(".npz"))
    folder = context.demo.store.open(owner="")
    for name in (human3r.PLAYER_SCENE_NAME, "scene.viser", "scene.glb", "scene.html"):
        context.demo.engine.export(result, None, folder, name)
    return [(f"{path.name} of {result}", f"{path.stat().st_size / 1e6:.2f} MB") for path in folder.finished_files()]


def memory(context: _Context) -> _Rows:
    """Measure the growth over a number of runs through the API."""
    num_runs = context.options.runs
    run = _api_run(context)
    run()  # fills the caches
    _wait_until_idle(context.demo)
    before = _usage()
    curve = []
    for number in range(1, num_runs + 1):
        run()
        if number % _RUNS_PER_POINT == 0 or number == num_runs:
            curve.append(f"{(_usage()[0] - before[0]) / 1e6:+.0f}")
    _wait_until_idle(context.demo)
    after = _usage()
    return [
        (
            f"memory after every {_RUNS_PER_POINT} of {num_runs} runs, MB",
            f"{' '.join(curve)} ({before[0] / 1e6:.0f} before)",
        ),
        ("threads, before and after", f"{before[1]} and {after[1]}"),
        ("open descriptors, before and after", f"{before[2]} and {after[2]}"),
    ]


def expiry(context: _Context) -> _Rows:
    """Run once and count the files that remain after their time to live."""
    _api_run(context)()
    started = time.monotonic()
    deadline = started + 10 * context.options.ttl
    num_tiles = len(available_examples())  # their images remain while the page is up
    while True:
        num_uploads = sum(path.is_file() for path in context.uploads.rglob("*"))
        remaining = max(0, num_uploads - num_tiles) + len(context.demo.store)
        if remaining == 0 or time.monotonic() > deadline:
            break
        time.sleep(1)
    waited_s = time.monotonic() - started
    value = f"{remaining} (after {waited_s:.0f} s, time to live {context.options.ttl:.0f} s)"
    return [("files of visitors left after their time", value)]


def seek(context: _Context) -> _Rows:
    """Measure in a headless browser the time from a jump to the drawn frame, and what a frame makes a browser draw."""
    name = "seek to drawn frame, median (worst)"
    if reason := headless.missing():
        return [(name, f"not measured: {reason}")]
    outcome = context.demo.gallery.open(_EXAMPLE)
    if outcome is None:
        return [(name, "not measured: the example has no result for this model")]
    with headless.chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 640})
        page.set_default_timeout(300_000)
        page.goto(f"{context.demo.url}viewer/{outcome.folder.token}/play/?playbackPath=../{human3r.PLAYER_SCENE_NAME}")
        page.wait_for_function("window.h3r && window.h3r.player")
        drawn_ms = [
            page.evaluate(
                "part => new Promise(done => { const before = performance.now(), player = window.h3r.player;"
                " player.seek(part * player.stage.last_s);"
                " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - before))); })",
                (7 * index % _NUM_SEEKS) / _NUM_SEEKS,
            )
            for index in range(_NUM_SEEKS)
        ]
        draws, triangles, texture_bytes, script_ms = page.evaluate(_DRAWN)
    drawn = f"{draws} calls, {triangles:.0f} triangles, {texture_bytes / 1e6:.1f} MB of textures"
    return [
        (name, f"{statistics.median(drawn_ms):.0f} ms ({max(drawn_ms):.0f} ms), software rendering"),
        ("one frame of the player", f"{drawn}, {script_ms:.1f} ms of its script"),
    ]


def _api_run(context: _Context) -> Callable[[], None]:
    """Return a function that runs the example through the API."""
    from gradio_client import Client, handle_file

    client = Client(context.demo.url, verbose=False, download_files=False)
    clip = handle_file(str(_EXAMPLE.clip))
    return lambda: client.submit(clip, max_frames=_FRAMES_PER_RUN, api_name="/reconstruct").result()


def _usage() -> tuple[int, int, int]:
    """Return (resident bytes, threads, open descriptors) of this process (Linux)."""
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    num_descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return resident_pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), num_descriptors


def _wait_until_idle(demo: Demo) -> None:
    """Wait until no run is active and the web server's idle threads have ended."""
    while demo.jobs.counts() != (0, 0):
        time.sleep(0.2)
    time.sleep(_IDLE_THREADS_END_S)


_PARTS: dict[str, Callable[[_Context], _Rows]] = {
    "first-geometry": first_geometry,
    "sizes": sizes,
    "seek": seek,
    "memory": memory,
    "expiry": expiry,
}


if __name__ == "__main__":
    main()
