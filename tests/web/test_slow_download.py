"""A download that takes long: it says how far it is, a second click stops it, and it is saved when it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import demo.page
from demo.page import panels
from demo.storage import ResultStore
from demo.updates import Outcome

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]

SCRIPT = Path(demo.page.__file__).parent / "static" / "page.js"
FLIGHT = "a[data-h3=slow]"


class Server:
    """Answers the page's requests: the page, how far the file is, and the file when it is done."""

    def __init__(self, html: str) -> None:
        self.html, self.is_done, self.asked = html, False, []

    def __call__(self, route) -> None:
        url, method = route.request.url, route.request.method
        if "scene_flythrough" not in url:
            route.fulfill(body=self.html, content_type="text/html; charset=utf-8")
        elif "progress" in url:
            route.fulfill(json={"done": 50, "total": 200})
        elif self.is_done:
            self.asked.append(method)
            route.fulfill(body="video", content_type="video/mp4", headers={"Content-Disposition": "attachment"})
        # Others wait, until the page goes away or stops them.


@pytest.fixture
def server() -> Server:
    with ResultStore(60, 1) as store:
        outcome = Outcome(store.open("someone"), 1, 1, 10.0, 1.0)
        return Server(f"<script>{SCRIPT.read_text()}</script>{panels.result(outcome)}")


def test_the_flight_shows_its_progress_and_stops_at_a_second_click(chromium, server: Server) -> None:
    page = chromium.new_page()
    page.route("**/*", server)
    page.goto("https://demo.test/")
    link = page.locator(FLIGHT)
    name = link.text_content()
    link.click()
    page.wait_for_function("document.querySelector('a[data-h3=slow]').textContent === '25 % · Stop'")
    link.click()
    page.wait_for_function("name => document.querySelector('a[data-h3=slow]').textContent === name", arg=name)
    assert link.get_attribute("aria-busy") is None
    server.is_done = True
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "scene_flythrough.mp4"
    assert server.asked[0] == "HEAD"
    page.close()
