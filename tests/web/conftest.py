"""The real app in a process of its own, and a headless Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pictures import COUNT_DRAWINGS
from proxy import Proxy
from web_steps import open_first

from demo.tools.headless import OPTIONS
from human3r.video.writer import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 600
PREFIX = "/some/place"
STARTS = 4
"""A free port can be taken by somebody else before the app binds it."""
PORT_TAKEN = "in use"
LONG_CLIP_FRAMES = 400
BROWSER_LIMIT_MS = 600_000
"""No test measures with it; a busy machine that draws in software needs minutes for what takes seconds."""
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
"""The page must need nothing from elsewhere, and a machine that drops packets must not delay it."""


@dataclass(frozen=True)
class App:
    """A running demo."""

    url: str
    port: int
    pid: int
    log: Path


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_app(
    folder: Path, script: str = "app.py", *options: str, address: str = "127.0.0.1"
) -> tuple[App, subprocess.Popen[bytes]]:
    """Start a demo on a free port and wait until it answers."""
    for number in range(STARTS):
        port, log = free_port(), folder / f"log_{number}.txt"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, script, "--port", str(port), *options],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            if _is_up(f"http://{address}:{port}/healthz", process):
                return App(f"http://{address}:{port}/", port, process.pid, log), process
        except BaseException:
            end(process)
            raise
        said = log.read_text()
        if PORT_TAKEN not in said:
            break
    pytest.fail(f"app.py ended with {process.returncode}: {said}")


def end(process: subprocess.Popen[bytes]) -> int:
    """Stop a process as a service manager does, and return its exit code."""
    process.terminate()
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _is_up(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return True
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.3)
    if process.poll() is None:
        pytest.fail(f"app.py is not up after {START_LIMIT_S} s")
    return False


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The demo as anyone starts it."""
    running, process = start_app(tmp_path_factory.mktemp("app"))
    yield running
    end(process)


@pytest.fixture(scope="session")
def slow_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The demo at the pace of a slow machine (see ``slow_app.py``), under the sub-path of a reverse proxy."""
    running, process = start_app(tmp_path_factory.mktemp("slow"), "tests/web/slow_app.py", "--root-path", PREFIX)
    yield running
    end(process)


@pytest.fixture(scope="session")
def proxy(slow_app: App, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """What stands in front of it; over TLS where ``openssl`` can make a certificate."""
    folder = tmp_path_factory.mktemp("proxy") if shutil.which("openssl") else None
    with Proxy(slow_app.port, PREFIX, folder) as running:
        yield running


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More frames than a run takes by default: it cannot be over before a slow browser has pressed Stop."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    rows, columns = np.mgrid[0:72, 0:128]
    with VideoWriter(path, fps=30) as writer:
        for index in range(LONG_CLIP_FRAMES):
            picture = np.stack([rows * 3, columns * 2, (rows + columns + 7 * index) % 256], axis=-1)
            writer.append(picture.astype(np.uint8))
    return path


@pytest.fixture(scope="session")
def launch_chromium() -> Iterator[object]:
    """Start browsers with further options: playwright runs once per process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    with playwright.sync_playwright() as driver:
        yield lambda *options: driver.chromium.launch(
            executable_path=executable, args=[*OPTIONS, OFFLINE, *options], timeout=BROWSER_LIMIT_MS
        )


@pytest.fixture(scope="session")
def chromium(launch_chromium) -> Iterator[object]:
    browser = launch_chromium()
    yield browser
    browser.close()


def _open(chromium, contexts: list, url: str, **options: object):
    """Open a page in a context of its own, which is added to ``contexts``."""
    options = {"viewport": {"width": 900, "height": 640}, "ignore_https_errors": True, **options}
    contexts.append(chromium.new_context(**options))
    contexts[-1].add_init_script(COUNT_DRAWINGS)
    page = contexts[-1].new_page()
    page.set_default_timeout(BROWSER_LIMIT_MS)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    open_first(page, url if "?" in url else f"{url}?example=")  # nothing plays at first
    return page


@pytest.fixture
def open_page(chromium) -> Iterator[object]:
    """Open pages in contexts of their own; two that draw at once starve a small machine."""
    contexts = []
    yield partial(_open, chromium, contexts)
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def example_page(chromium, app: App) -> Iterator[object]:
    """The first screen as a visitor meets it who asks for less motion: an example, still; one page for two files."""
    contexts = []
    yield _open(chromium, contexts, f"{app.url}?", reduced_motion="reduce", color_scheme="dark")
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def example(example_page) -> tuple[object, object]:
    """The first screen, and the frame of its viewer, at the start."""
    viewer = example_page.locator("[data-h3=recording] iframe").element_handle().content_frame()
    viewer.wait_for_function("window.h3r && h3r.player && document.documentElement.matches('.h3p-ready')")
    viewer.evaluate("h3r.player.seek(0)")
    return example_page, viewer


@pytest.fixture
def page(open_page, app: App) -> object:
    """The demo's page."""
    return open_page(app.url)


@pytest.fixture
def slow_page(open_page, proxy: Proxy) -> object:
    """The page of the demo that takes its time, as it comes through the proxy."""
    return open_page(proxy.url)
