"""Take pictures of every state of the page: ``python -m demo.tools.screenshots OUT [STATE ...] [--model M]``.

A state is taken on a desktop and on a phone, light and dark; ``STATE_phone_dark`` is one of the four.

Starts a demo of its own, whose runs can be paused at a frame, and drives it with headless Chromium. The pictures are
for people; nothing is compared.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

from demo.engine import Engine, RunRequest
from demo.examples import EXAMPLES
from demo.server import Demo
from demo.settings import Settings
from demo.storage import RunFolder
from demo.tools import headless
from demo.tools.page_states import HELD_AT_FRAME, LOOKS, PICTURES, STATES, Visit
from human3r import FrameReader, Sampling

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from human3r import FramePrediction, FrameSink, Reconstruction, RunControl

_TIMEOUT_MS = 240_000
_CAMERA_FRAMES = 90


@dataclass
class _Pause:
    """A frame sink that waits at a frame."""

    go: threading.Event
    control: RunControl

    def add(self, prediction: FramePrediction) -> None:
        """Wait for ``go`` or for the end of the run."""
        if prediction.frame_index >= HELD_AT_FRAME:
            while not self.go.wait(0.1) and not self.control.should_stop():
                pass


class PausableEngine(Engine):
    """Pauses runs at a frame while ``go`` is cleared."""

    def __init__(self, model: str) -> None:
        super().__init__(model, None)
        self.go = threading.Event()
        self.go.set()

    def reconstruct(
        self, request: RunRequest, sinks: Sequence[FrameSink], control: RunControl, folder: RunFolder
    ) -> Reconstruction:
        """Run the model, with one more sink."""
        return super().reconstruct(request, [*sinks, _Pause(self.go, control)], control, folder)


def main() -> int:
    """Take the pictures, and return the exit code: 1 when a state could not be reached."""
    parser = argparse.ArgumentParser(prog="python -m demo.tools.screenshots", description="Take pictures of the page.")
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder for the pictures")
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"which (all): {', '.join(STATES)}")
    parser.add_argument("--model", default="compact", help="model (%(default)s)")
    options = parser.parse_args()
    names = [
        name
        for state in options.states or STATES
        for name in ([state + ending for ending in LOOKS] if state in STATES else [state])
    ]
    if unknown := sorted(set(names) - set(PICTURES)):
        parser.error(f"unknown state {', '.join(unknown)}")
    if reason := headless.missing():
        parser.exit(1, f"No pictures: {reason}.\n")
    options.folder.mkdir(parents=True, exist_ok=True)
    is_complete = True
    engine = PausableEngine(options.model)
    with (
        Demo(Settings(model=options.model), engine) as demo,
        TemporaryDirectory() as clips,
        headless.chromium(_film(Path(clips) / "camera.mjpeg")) as browser,
    ):
        page = demo.launch(warm_up=False)
        engine.load("auto")
        for name in names:
            is_complete &= _take(name, browser, options.folder, engine, demo.url, Path(clips))
        page.close()
    return 0 if is_complete else 1


def _film(path: Path) -> Path:
    """Write the pictures that the browser's camera sees: people of an example."""
    with FrameReader(EXAMPLES[0].clip, Sampling(max_frames=_CAMERA_FRAMES)) as frames, path.open("wb") as stream:
        for frame in frames:
            picture = Image.fromarray(frame.image)
            picture.thumbnail((640, 640))
            picture.save(stream, "JPEG", quality=88)
    return path


def _take(name: str, browser: Browser, folder: Path, engine: PausableEngine, url: str, clips: Path) -> bool:
    """Take the picture of one state, and return whether it was reached."""
    from playwright.sync_api import Error

    act, size, is_dark = PICTURES[name]
    contexts: list[BrowserContext] = []

    def new_page() -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if is_dark else "light",
            permissions=["camera"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_TIMEOUT_MS)
        page.on("pageerror", lambda error: print(f"{name}: page error: {error}"))
        page.goto(f"{url}?example=")
        page.get_by_role("button", name="Reconstruct").wait_for()
        return page

    first = new_page()

    def shoot(suffix: str = "") -> None:
        path = folder / f"{name}{suffix}.png"
        contexts[-1].pages[0].screenshot(path=path)
        print(path, flush=True)

    try:
        act(Visit(first, url, engine.go, clips, new_page, shoot))
        shoot()
    except Error as error:
        print(f"{name}: {error.message.splitlines()[0]}", flush=True)
        return False
    finally:
        engine.go.set()
        for context in contexts:
            context.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
