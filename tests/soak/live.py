"""Live streams for hours: memory, descriptors and identities per 1000 frames; lost connections.

    python tests/soak/live.py run --model compact --seconds 1800 --in FOLDER
    python tests/soak/live.py drops 50

``run`` feeds a clip, or moving patterns to ``tiny``, as fast as the model goes, and keeps a result as ``live -o`` does.
Every so many frames a line of JSON goes to FOLDER/samples.jsonl; exit code 1 if the resident set was ever more than
50 MB above that after the first minute, or descriptors grew. ``drops`` serves a stream that breaks off, and is taken up
as often.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from soak import Watch, small_model

from human3r.exporting.viewer.moments import Moments
from human3r.inference.live.result import LiveResult
from human3r.inference.live.stream import LiveStream
from human3r.inference.loading.model import load_model
from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.video.live.reader import LiveReader, parse_source
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

LIMIT_MB = 50.0
"""Largest growth of the resident set after the first minute."""
_SETTLED_S = 60.0
_NUM_FRAMES = 60


def frames_of(clip: Path | None) -> list[np.ndarray]:
    """Return some frames: those of a clip, or moving patterns."""
    if clip is None:
        pictures = np.random.default_rng(0).integers(0, 255, (_NUM_FRAMES, 6, 8, 3), dtype=np.uint8)
        return list(pictures.repeat(8, axis=1).repeat(8, axis=2))
    with FrameReader(clip, Sampling(max_frames=_NUM_FRAMES)) as reader:
        return [frame.image for frame in reader]


def endless(frames: list[np.ndarray], taken: threading.Semaphore, end_s: float) -> Iterator[np.ndarray]:
    """Yield the frames to and fro until the time is up, each when one before it was taken."""
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    index = 0
    while time.monotonic() < end_s:
        yield frames[order[index % len(order)]]
        index += 1
        taken.acquire()


def run(folder: Path, model: str, seconds: float, clip: Path | None, every: int) -> bool:
    """Run the soak and print its verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / "samples.jsonl"
    samples.unlink(missing_ok=True)
    loaded = small_model() if model == "tiny" else load_model(model, device="cpu")
    watch, keyframes, moments, started_s = Watch(samples, every), KeyframeCollector(), Moments(), time.monotonic()
    taken = threading.Semaphore(2)  # frames in the stages before the consumer
    source = endless(frames_of(clip), taken, started_s + seconds)
    with LiveResult(loaded, "soak") as kept, LiveStream(loaded, source) as stream:
        for prediction in stream:
            taken.release()
            kept.add(prediction, with_scene=stream.takes_scene)
            moments.add(prediction)
            if stream.takes_scene:
                keyframes.add(prediction)
            watch.add(prediction)
        report = stream.report().to_dict()
        points = len(kept.finish().points_world)
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    per_s = report["processed"] / seconds
    tail = [line for line in lines if line["frame"] / per_s > min(_SETTLED_S, seconds / 3)] or lines
    resident = [line["resident_mb"] for line in tail]
    growth = max(resident) - resident[0]
    verdict = {
        **report,
        "growth_mb": round(growth, 1),
        "resident_mb": [resident[0], max(resident), resident[-1]],
        "descriptors": [tail[0]["descriptors"], tail[-1]["descriptors"]],
        "identities": tail[-1]["identities"],
        "points": points,
        "is_ok": growth <= LIMIT_MB and tail[-1]["descriptors"] <= tail[0]["descriptors"],
    }
    print(json.dumps(verdict))
    return bool(verdict["is_ok"])


def drops(count: int) -> bool:
    """Follow a stream that ends again and again, and print how often it was taken up."""
    content = _stream()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    descriptors, frames = [], 0
    with LiveReader(parse_source(f"http://127.0.0.1:{server.server_port}/stream.ts")) as reader:
        for _ in reader:
            frames += 1
            descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
            if reader.num_reconnects >= count:
                break
    server.shutdown()
    verdict = {"reconnects": reader.num_reconnects, "frames": frames, "descriptors": [descriptors[0], descriptors[-1]]}
    print(json.dumps(verdict))
    return descriptors[-1] <= descriptors[0]


def _stream() -> bytes:
    """Return a second of video as a transport stream."""
    with tempfile.NamedTemporaryFile(suffix=".ts") as file:
        with av.open(file.name, "w") as container:
            video = container.add_stream("libx264", rate=30)
            video.height, video.width, video.pix_fmt = 240, 320, "yuv420p"
            for level in range(30):
                picture = np.full((240, 320, 3), 8 * level, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
        return Path(file.name).read_bytes()


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    action = actions.add_parser("run")
    action.add_argument("--model", default="tiny")
    action.add_argument("--seconds", type=float, default=8 * 3600)
    action.add_argument("--clip", type=Path)
    action.add_argument("--every", type=int, default=1000)
    action.add_argument("--in", dest="folder", type=Path, default=Path("soak"))
    actions.add_parser("drops").add_argument("count", type=int)
    options = parser.parse_args()
    if options.action == "drops":
        return int(not drops(options.count))
    return int(not run(options.folder, options.model, options.seconds, options.clip, options.every))


if __name__ == "__main__":
    sys.exit(main())
