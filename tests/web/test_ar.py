"""The link that puts a result into the room: on phones that can, over HTTPS only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import demo.page
from demo.page import panels
from demo.storage import ResultStore
from demo.updates import Outcome

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]

SCRIPT = Path(demo.page.__file__).parent / "static" / "ar.js"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The page's script with the downloads of a result, and the result's token."""
    monkeypatch.setattr(panels, "ON_DEMAND", ("scene.glb", "scene.usdz"))
    with ResultStore(60, 1) as store:
        outcome = Outcome(store.open("someone"), 1, 1, 10.0, 1.0)
        yield f"<script>{SCRIPT.read_text()}</script>{panels.result(outcome)}", outcome.folder.token


@pytest.mark.parametrize(
    ("agent", "scheme", "expected"),
    [
        (IPHONE, "https", "https://demo.test/viewer/{token}/scene.usdz"),
        (ANDROID, "https", "intent://arvr.google.com/scene-viewer/1.0?file=https%3A%2F%2Fdemo.test%2Fviewer%2F"),
        (DESKTOP, "https", None),
        (IPHONE, "http", None),
        (ANDROID, "http", None),
    ],
)
def test_phones_over_https_are_offered_their_own_viewer(
    chromium: object, served: tuple[str, str], agent: str, scheme: str, expected: str | None
) -> None:
    html, token = served
    context = chromium.new_context(user_agent=agent, ignore_https_errors=True)
    page = context.new_page()
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{scheme}://demo.test/")
    link = page.locator("a[rel=ar]")
    assert link.is_visible() is (expected is not None)
    assert (link.get_attribute("href") or "").startswith((expected or "").format(token=token))
    # Quick Look takes only a link that holds nothing but a picture.
    assert link.evaluate("link => [...link.childNodes].map((node) => node.nodeName)") == ["IMG"]
    context.close()
