"""The visitor's camera, played by Chromium from a file: people appear, and after Stop there is an ordinary result."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BROWSER_LIMIT_MS, CHROMIUM_OPTIONS, ROOT, App
from PIL import Image
from web_steps import eventually

from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]
KEEP_SOCKETS = """
window.h3_sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...parts) { super(...parts); window.h3_sockets.push(this); }
};
"""
CLIP = ROOT / "examples" / "pose2sim_two_people_portrait.mp4"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: a clip of people, as the Motion JPEG that Chromium takes."""
    path = tmp_path_factory.mktemp("camera") / "people.mjpeg"
    with path.open("wb") as stream, FrameReader(CLIP, Sampling(max_frames=20)) as reader:
        for frame in reader:
            picture = io.BytesIO()
            Image.fromarray(frame.image).resize((216, 384)).save(picture, "JPEG", quality=85)
            stream.write(picture.getvalue())
    return path


@pytest.fixture
def open_with_camera(camera: Path) -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    options = [*CHROMIUM_OPTIONS, *fake, f"--use-file-for-fake-video-capture={camera}"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=options, timeout=BROWSER_LIMIT_MS)

        def open_one(url: str, **context: object):
            page = browser.new_context(**context).new_page()
            page.add_init_script(KEEP_SOCKETS)
            page.set_default_timeout(BROWSER_LIMIT_MS)
            page.problems = []
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.goto(url)
            page.get_by_role("button", name="Reconstruct").wait_for()
            return page

        yield open_one
        browser.close()


def says_people(page) -> bool:
    text = page.locator("[data-h3-live=line]").inner_text()
    return "fps · " in text and ("person" in text or "people" in text) and "· 0 people" not in text


@pytest.mark.parametrize(
    "size",
    [(390, 640), pytest.param((1000, 700), marks=pytest.mark.slow)],
    ids=["phone", "desktop"],
)
def test_the_camera_becomes_people_and_after_stop_a_result(open_with_camera, app: App, size: tuple[int, int]) -> None:
    page = open_with_camera(app.url, viewport={"width": size[0], "height": size[1]})
    page.get_by_role("button", name="Live: use your camera").click()
    eventually(page, lambda: says_people(page), "nobody was found in the camera's pictures")
    # A lost connection is taken up again.
    page.evaluate("() => h3_sockets.filter((each) => each.url.includes('/live')).forEach((each) => each.close())")
    eventually(page, lambda: "fps · " not in page.locator("[data-h3-live=line]").inner_text(), "nothing was lost")
    eventually(page, lambda: says_people(page), "the stream did not go on")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert "/live/" in page.locator("[data-h3-live=viewer] iframe").get_attribute("src")
    page.locator("[data-h3-live=stop]").click()
    page.wait_for_url("**result=*")
    page.locator(".h3-downloads").wait_for()
    for name in ("scene.glb", "recording.mp4"):
        href = page.locator(f"a[href*='/{name}?']").first.get_attribute("href")
        answer = page.request.get(f"{app.url}{href.removeprefix('./')}")
        assert answer.ok
        assert len(answer.body()) > 1000
    assert page.problems == []


@pytest.mark.slow
def test_on_an_insecure_page_the_camera_is_refused_with_a_message(open_with_camera, app: App) -> None:
    page = open_with_camera(app.url, viewport={"width": 390, "height": 640})
    page.evaluate("() => { Object.defineProperty(navigator, 'mediaDevices', {value: undefined}); }")
    page.get_by_role("button", name="Live: use your camera").click()
    page.get_by_text("The camera needs HTTPS, or a page on this machine").wait_for()
