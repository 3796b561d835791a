"""Take a picture of every state of the page: ``python -m demo.tools.screenshots OUT [STATE ...] [--model M]``.

Starts a demo of its own, whose runs can be held at a frame, and drives it with a headless Chromium. For people to look
at; nothing is compared.
"""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from demo.engine import RunListener, RunOptions
from demo.human3r_engine import Human3REngine
from demo.server import Demo
from demo.settings import Settings
from demo.tools import headless
from demo.tools.page_states import HELD_AT_FRAME, STATES, Look
from human3r import FramePrediction, Reconstruction

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PATIENCE_MS = 240_000


class HeldEngine(Human3REngine):
    """Stops after a frame until it is let go, so that a run in progress can be looked at for as long as it takes."""

    def __init__(self, model: str) -> None:
        super().__init__(model, None)
        self.go = threading.Event()
        self.go.set()

    def reconstruct(self, clip: Path, options: RunOptions, listener: RunListener) -> Reconstruction:
        """Run the model up to the frame, and on."""

        def on_frame(prediction: FramePrediction) -> None:
            listener.on_frame(prediction)
            if prediction.frame_index >= HELD_AT_FRAME:
                while not self.go.wait(0.1) and not listener.should_stop():
                    pass

        return super().reconstruct(clip, options, replace(listener, on_frame=on_frame))


def main() -> int:
    """Take the pictures, and return the exit code: 1 when a state could not be reached."""
    parser = argparse.ArgumentParser(prog="python -m demo.tools.screenshots", description="Take pictures of the page.")
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder for the pictures")
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"which (all): {', '.join(STATES)}")
    parser.add_argument("--model", default="compact", help="model (%(default)s)")
    options = parser.parse_args()
    if unknown := sorted(set(options.states) - set(STATES)):
        parser.error(f"unknown state {', '.join(unknown)}")
    if reason := headless.missing():
        parser.exit(1, f"No pictures: {reason}.\n")
    options.folder.mkdir(parents=True, exist_ok=True)
    is_whole = True
    engine = HeldEngine(options.model)
    with (
        Demo(Settings(model=options.model), engine) as demo,
        TemporaryDirectory() as clips,
        headless.chromium() as browser,
    ):
        page = demo.launch(warm_up=False)
        engine.load(options.model)
        for name in options.states or STATES:
            is_whole &= _take(name, browser, options.folder, engine, page.local_url, Path(clips))
        page.close()
    return 0 if is_whole else 1


def _take(name: str, browser: Browser, folder: Path, engine: HeldEngine, url: str, clips: Path) -> bool:
    """Take the picture of one state, and say whether it could be reached."""
    from playwright.sync_api import Error

    act, size, is_dark = STATES[name]
    contexts = []

    def new_page() -> Page:
        context = browser.new_context(
            viewport=dict(zip(("width", "height"), size, strict=True)),
            color_scheme="dark" if is_dark else "light",
            permissions=["camera"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("pageerror", lambda error: print(f"{name}: the page says {error}"))
        page.goto(url)
        page.get_by_role("button", name="Reconstruct").wait_for()
        return page

    first = new_page()

    def shoot(suffix: str = "") -> None:
        path = folder / f"{name}{suffix}.png"
        contexts[-1].pages[0].screenshot(path=path)
        print(path, flush=True)

    try:
        act(Look(first, url, engine.go, clips, new_page, shoot))
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
