"""axe-core, the rules that browsers and auditors use, on page and viewer. Its script comes with a package."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(1800)]

RUN = "async place => (await axe.run(place, { resultTypes: ['violations'], iframes: false })).violations"


@pytest.fixture(scope="module")
def axe_script() -> str:
    axe = pytest.importorskip(
        "axe_playwright_python", reason="pip install axe-playwright-python (it contains axe-core)"
    )
    return (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def _faults(frame, script: str) -> list[str]:
    """Return the serious and critical findings in one document, with the first elements of each."""
    frame.evaluate(script)
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:160] for node in fault['nodes'][:4]]}"
        for fault in frame.evaluate(RUN, "body")
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_axe_finds_no_serious_fault(open_page, app, axe_script: str, scheme: str, size: tuple[int, int]) -> None:
    viewport = {"width": size[0], "height": size[1]}
    page = open_page(f"{app.url}?", color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    viewer = page.locator("[data-h3=recording] iframe").element_handle().content_frame()
    viewer.wait_for_function("window.h3r && h3r.player && document.documentElement.matches('.h3p-ready')")
    viewer.evaluate("h3r.player.seek(3); h3r.player.people.choose(1)")
    if viewer.locator(".h3p-gear").get_attribute("aria-expanded") == "false":
        viewer.locator(".h3p-gear").evaluate("button => button.click()")
    page.get_by_role("button", name="Options").evaluate("button => button.click()")
    page.locator(".h3-more summary").evaluate("summary => summary.click()")
    page.get_by_label("Turn the clip").wait_for()

    assert _faults(page, axe_script) + _faults(viewer, axe_script) == []


def test_axe_finds_no_serious_fault_beside_an_error(open_page, app, axe_script: str) -> None:
    page = open_page(app.url)
    page.get_by_role("button", name="Reconstruct").click()
    page.locator(".h3-problem").wait_for()

    assert _faults(page, axe_script) == []
