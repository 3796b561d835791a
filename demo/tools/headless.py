"""Finds and starts a headless Chromium for the scripts that use the page.

Playwright is a development requirement (``tests/requirements.txt``), so it is imported on use.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    # Mesa's software renderer. Where it is missing, SwiftShader takes over, whose threads spin: beside other work it is
    # ten times slower, and can wait for itself forever.
    "--use-angle=gl-egl",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",  # containers have a small one, in which Chromium would crash
)
"""Of every headless Chromium."""
_CAMERA_OPTIONS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
_TIMEOUT_MS = 300_000


def missing() -> str | None:
    """Return what is missing on this machine, or None when a browser can be opened."""
    try:
        import playwright.sync_api  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        return "playwright is not installed"
    return None if any(map(shutil.which, _NAMES)) else "there is no Chromium"


@contextmanager
def chromium(camera: Path | None = None) -> Iterator[Browser]:
    """Open a browser that renders in software and whose camera sees a Motion JPEG file, or a test picture."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, _NAMES)))
    with sync_playwright() as driver:
        sees = [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
        browser = driver.chromium.launch(
            executable_path=executable, args=[*OPTIONS, *_CAMERA_OPTIONS, *sees], timeout=_TIMEOUT_MS
        )
        try:
            yield browser
        finally:
            browser.close()
