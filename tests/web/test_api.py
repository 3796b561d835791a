"""The page's API as a program meets it: the snippet of demo/README.md, the contract of ``/reconstruct``, bad files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from human3r import Reconstruction
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.writer import VideoWriter

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[2]
NUM_FRAMES = 5


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of an example."""
    path = tmp_path_factory.mktemp("short") / "clip.mp4"
    with (
        FrameReader(ROOT / "examples" / "rendered_two_people_orbit.mp4", Sampling(max_frames=NUM_FRAMES)) as reader,
        VideoWriter(path, fps=reader.info.fps) as writer,
    ):
        for frame in reader:
            writer.append(frame.image)
    return path


def test_the_documented_snippet_streams_and_ends_with_summary_and_files(app, short_clip: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "demo" / "README.md").read_text(), re.DOTALL)
    snippet = next(text for text in snippets if "gradio_client" in text)
    assert "http://127.0.0.1:7860/" in snippet
    report = "\nimport json\nprint('LAST ' + json.dumps([summary, files]))\n"
    done = subprocess.run(
        [sys.executable, "-c", snippet.replace("http://127.0.0.1:7860/", app.url) + report],
        cwd=short_clip.parent,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *updates, last = [line for line in done.stdout.splitlines() if line.startswith(("(", "[", "LAST "))]

    summary, files = json.loads(last.removeprefix("LAST "))
    by_name = {Path(file).name: Path(file) for file in files}
    assert len([line for line in updates if "'status'" in line]) >= 2
    assert summary["frames"] == NUM_FRAMES
    assert {"frames", "people", "fps", "seconds", "warnings"} <= set(summary)
    assert {"scene.glb", "reconstruction.npz", "scene.html", "manifest.json"} <= set(by_name)
    assert by_name["scene.glb"].read_bytes()[:4] == b"glTF"
    assert Reconstruction.load(by_name["reconstruction.npz"]).num_frames == NUM_FRAMES


def test_the_api_offers_only_named_endpoints(app) -> None:
    gradio_client = pytest.importorskip("gradio_client")

    endpoints = gradio_client.Client(app.url, verbose=False).view_api(return_format="dict")["named_endpoints"]

    assert list(endpoints) == ["/reconstruct"]
    names = [parameter["parameter_name"] for parameter in endpoints["/reconstruct"]["parameters"]]
    assert names[:6] == ["clip", "start", "duration", "fps", "max_frames", "model"]
    defaults = [parameter["parameter_has_default"] for parameter in endpoints["/reconstruct"]["parameters"]]
    assert defaults == [False, *[True] * (len(names) - 1)]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"start": "soon"}, "Start must be a number, not 'soon'"),
        ({"fps": -1}, "Frames per second must be 0 or more"),
        ({"max_frames": 10**9}, "At most … frames must be up to 600; it is 1000000000"),
        ({"clip": None}, "There is no clip yet"),
    ],
)
def test_the_api_answers_wrong_values_with_the_messages_of_the_page(
    app, short_clip: Path, values, sentence: str
) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(app.url, verbose=False, download_files=False)

    with pytest.raises(Exception, match=sentence):
        client.submit(
            **{"clip": gradio_client.handle_file(str(short_clip)), **values}, api_name="/reconstruct"
        ).result()
