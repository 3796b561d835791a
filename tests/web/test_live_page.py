"""The visitor's camera, played by Chromium from a file, over TLS: after Stop there is a result, or nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BROWSER_LIMIT_MS, ROOT
from PIL import Image
from proxy import Proxy
from web_steps import eventually, open_first

from demo.live.panel import controls, stage
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


@pytest.fixture(scope="module")
def browser(launch_chromium, camera: Path) -> Iterator[object]:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    opened = launch_chromium(*fake, f"--use-file-for-fake-video-capture={camera}")
    yield opened
    opened.close()


def open_page(browser, url: str, size: tuple[int, int]):
    viewport = {"width": size[0], "height": size[1]}
    page = browser.new_context(ignore_https_errors=True, viewport=viewport).new_page()
    page.add_init_script(KEEP_SOCKETS)
    page.set_default_timeout(BROWSER_LIMIT_MS)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    open_first(page, f"{url}?example=")  # nothing plays at first
    return page


def said(page) -> str:
    return page.locator("[data-h3-live=line]").inner_text()


def go_live(page) -> str:
    """Press Live, wait until the model answers, and return the address of the run's files."""
    page.get_by_role("button", name="Live: use your camera").click()
    eventually(page, lambda: "fps · " in said(page), "the model never answered")
    player = "document.querySelector('[data-h3-live=viewer] iframe').contentWindow"
    return page.evaluate(f"{player}.location.href.split('?')[0]").removesuffix("live/")


@pytest.mark.parametrize(
    "size",
    [(390, 640), pytest.param((1000, 700), marks=pytest.mark.slow)],
    ids=["phone", "desktop"],
)
def test_after_stop_there_is_a_result_with_the_recording(browser, proxy: Proxy, size: tuple[int, int]) -> None:
    page = open_page(browser, proxy.url, size)
    run = go_live(page)
    assert page.request.get(f"{run}live/").ok
    # A lost connection is taken up again.
    page.evaluate("() => h3_sockets.filter((each) => each.url.includes('/live')).forEach((each) => each.close())")
    eventually(page, lambda: "fps · " not in said(page), "nothing was lost")
    eventually(page, lambda: "fps · " in said(page), "the stream did not go on")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.locator("[data-h3-live=stop]").click()
    page.wait_for_url("**result=*")
    page.locator(".h3-downloads").wait_for()
    for name in ("scene.glb", "recording.mp4"):
        assert page.locator(f"a[href*='/{name}?']").count() > 0
        answer = page.request.get(f"{run}{name}?download")
        assert answer.ok
        assert len(answer.body()) > 1000
    assert page.problems == []


def test_a_recording_is_deleted_at_once_on_request(browser, proxy: Proxy) -> None:
    page = open_page(browser, proxy.url, (390, 640))
    run = go_live(page)
    page.get_by_role("button", name="Stop and delete").click()
    page.locator("[data-h3-live=stage]").wait_for(state="hidden")
    eventually(page, lambda: page.request.get(f"{run}recording.mp4").status == 404, "the recording is still there")
    assert page.request.get(f"{run}live/").status == 404
    assert not page.locator("[data-h3-live=problem]").is_visible()
    assert page.problems == []


def test_a_camera_that_is_refused_is_a_sentence_on_the_page(browser, proxy: Proxy) -> None:
    page = open_page(browser, proxy.url, (390, 640))
    refused = "() => Promise.reject(new DOMException('', 'NotAllowedError'))"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refused}; }}")
    page.get_by_role("button", name="Live: use your camera").click()
    page.get_by_text("The browser does not let this page use the camera.").wait_for()
    assert page.locator("[data-h3-live=stage]").is_hidden()
    assert page.problems == []


def test_on_an_insecure_page_the_camera_is_refused_with_a_message(browser) -> None:
    page = browser.new_page()
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page.goto("about:blank")
    page.set_content(controls(120, 3600) + stage())
    for script in ("camera.js", "live.js"):
        page.add_script_tag(content=(ROOT / "demo" / "page" / "static" / script).read_text())
    page.get_by_role("button", name="Live: use your camera").click()
    page.get_by_text("The camera needs HTTPS, or a page on this machine").wait_for()
    assert page.locator("[data-h3-live=stage]").is_hidden()
    page.close()
