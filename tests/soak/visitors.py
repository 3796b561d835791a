"""Many visitors at once: everyone gets the result of the own clip, and the page answers while runs work.

    python tests/soak/visitors.py 20

Starts the demo with the ``tiny`` model. Every visitor sends a clip of a width of its own through the API, all at the
same time; meanwhile the page is asked for again and again. Prints one JSON object; exit code 1 if a result is missing
or somebody else's, if the page's answers take longer than 0.3 s at the 95th percentile, or if the stopped server leaves
a file. One machine runs server and visitors.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from human3r.results.reconstruction import Reconstruction
from human3r.video.writer import VideoWriter

MAX_ANSWER_S = 0.3
_ROOT = Path(__file__).resolve().parents[2]
_NUM_FRAMES, _HEIGHT = 6, 64
_PAUSE_S = 0.05


def start_server(temporary: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the demo and return its process and address once it answers; its files go to ``temporary``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "app.py", "--model", "tiny", "--port", str(port)]
    process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    while process.poll() is None:
        try:
            if json.loads(urllib.request.urlopen(f"{url}healthz", timeout=30).read())["device"]:
                return process, url
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit(f"the server ended with {process.returncode}")


def write_clip(path: Path, width: int, num_frames: int = _NUM_FRAMES) -> None:
    """Write moving noise."""
    rng = np.random.default_rng(width)
    with VideoWriter(path, fps=10, quality=30) as writer:
        for _ in range(num_frames):
            coarse = rng.integers(0, 255, (_HEIGHT // 8, width // 8, 3), dtype=np.uint8)
            writer.append(coarse.repeat(8, axis=0).repeat(8, axis=1))


def visit(url: str, folder: Path, number: int) -> str:
    """Run one visitor's clip and return what came: ``own``, ``crossed`` or an error."""
    from gradio_client import Client, handle_file

    width, own = 64 + 16 * number, folder / f"visitor_{number}"
    own.mkdir()
    write_clip(own / "clip.mp4", width)
    try:
        client = Client(url, verbose=False, download_files=str(own))
        summary, files = client.submit(handle_file(str(own / "clip.mp4")), api_name="/reconstruct").result()
        result = Reconstruction.load(next(path for path in files if path.endswith("reconstruction.npz")))
    except Exception as error:
        return repr(error)
    is_own = int(result.image_size[1]) == width and summary["frames"] == result.num_frames == _NUM_FRAMES
    return "own" if is_own else "crossed"


class Questions(threading.Thread):
    """Asks for the page again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.answers_s: list[float] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        """Ask until it is over."""
        while not self.is_over.wait(_PAUSE_S):
            started_s = time.monotonic()
            urllib.request.urlopen(self._url, timeout=60).read()
            self.answers_s.append(time.monotonic() - started_s)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("visitors", type=int, nargs="?", default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, temporary = Path(name), Path(name) / "tmp"
        temporary.mkdir()
        process, url = start_server(temporary)
        questions = Questions(url)
        questions.start()
        started_s = time.monotonic()
        with ThreadPoolExecutor(options.visitors) as everyone:
            outcomes = list(everyone.map(lambda number: visit(url, folder, number), range(options.visitors)))
        questions.is_over.set()
        seconds = time.monotonic() - started_s
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        left = [path.name for path in temporary.rglob("*") if path.is_file()]
    report = {
        "visitors": options.visitors,
        "seconds": round(seconds, 1),
        "own": outcomes.count("own"),
        "others": [outcome for outcome in outcomes if outcome != "own"],
        "answers": len(questions.answers_s),
        "answer_p50_s": round(float(np.median(questions.answers_s)), 3),
        "answer_p95_s": round(float(np.percentile(questions.answers_s, 95)), 3),
        "exit_code": code,
        "files_left": left,
    }
    print(json.dumps(report))
    is_good = not report["others"] and not left and code == 0 and report["answer_p95_s"] <= MAX_ANSWER_S
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
