"""The animated GLB in Google's <model-viewer>, as shops and phones show models. Slow: it draws in software.

Install it with ``npm install @google/model-viewer`` and name its folder: ``NODE_PATH=.../node_modules pytest
tests/interchange -m slow``.
"""

from __future__ import annotations

import base64
import functools
import http.server
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_scene import walking_reconstruction

from demo.tools import headless
from human3r.bodies import load_body
from human3r.exporting import export
from human3r.results.reconstruction import Reconstruction

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MODULE = Path("@google/model-viewer/dist/model-viewer.min.js")
PAGE = """<!doctype html><script type="module">
  import "./viewer.js";
  customElements.get("model-viewer").minimumRenderScale = 1;  // pictures are compared
</script>
<model-viewer src="scene.glb" style="width: 360px; height: 300px" loading="eager" reveal="auto"></model-viewer>"""
PICTURE = """time => new Promise(done => {
  const viewer = document.querySelector("model-viewer");
  viewer.pause();
  viewer.currentTime = time;
  let left = 5;
  const next = () => left-- ? requestAnimationFrame(next) : done(viewer.toDataURL());
  next();
})"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, Reconstruction]]:
    """A page that has loaded the model, and what the model was made from."""
    folders = [Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    module = next((folder / MODULE for folder in folders if (folder / MODULE).is_file()), None)
    if module is None:
        pytest.skip("no model-viewer: npm install @google/model-viewer, and NODE_PATH names its node_modules")
    if reason := headless.missing():
        pytest.skip(reason)
    folder, body = tmp_path_factory.mktemp("model_viewer"), load_body()
    walk = walking_reconstruction(body)
    export(walk, folder / "scene.glb", body=body)
    (folder / "viewer.js").write_bytes(module.read_bytes())
    (folder / "index.html").write_text(PAGE)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, headless.chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": 400, "height": 340})
        page.set_default_timeout(600_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("document.querySelector('model-viewer').loaded")
        yield page, walk
        server.shutdown()


def test_the_player_shows_the_length_of_the_clip(shown) -> None:
    page, walk = shown
    names, duration_s = page.evaluate(
        "async () => { const viewer = document.querySelector('model-viewer'); viewer.play();"
        " await viewer.updateComplete; return [viewer.availableAnimations, viewer.duration]; }"
    )
    assert names == ["clip"]
    assert duration_s == pytest.approx(float(walk.time_s[-1] - walk.time_s[0]), abs=1e-3)


def test_people_move_and_come_back(shown) -> None:
    page, _ = shown
    early, late, again = (_picture(page, time_s) for time_s in (0.1, 0.8, 0.1))
    moved = float(np.abs(early - late).mean())
    assert early.std() > 10
    assert moved > 1
    assert np.abs(early - again).mean() < moved / 10


def _picture(page: object, time_s: float) -> np.ndarray:
    """The model at a time, on white, ``H W 3`` float."""
    picture = Image.open(io.BytesIO(base64.b64decode(page.evaluate(PICTURE, time_s).split(",", 1)[1]))).convert("RGBA")
    if folder := os.environ.get("HUMAN3R_KEEP_PICTURES"):
        picture.save(Path(folder) / f"model_viewer_{time_s:g}.png")
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(on_white.convert("RGB").resize((360, 300)), float)


def test_the_page_reports_no_errors(shown) -> None:
    page, _ = shown
    assert page.problems == []
