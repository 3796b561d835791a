"""The demo with the tiny model, at the pace of a slow machine: a run lasts long enough to be looked at on any machine.

Takes the options of ``app.py``. The page, the server, the decoder, the viewers and the files are the real ones.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from demo.engine import RunListener, RunOptions
from demo.human3r_engine import Human3REngine
from demo.server import serve
from demo.settings import parse_settings
from human3r import FramePrediction, Reconstruction

PAUSE_S = 0.25
"""After every frame."""


class UnhurriedEngine(Human3REngine):
    """Pauses between frames."""

    def reconstruct(self, clip: Path, options: RunOptions, listener: RunListener) -> Reconstruction:
        """Run the model, slowly."""

        def on_frame(prediction: FramePrediction) -> None:
            listener.on_frame(prediction)
            time.sleep(PAUSE_S)

        return super().reconstruct(clip, options, replace(listener, on_frame=on_frame))


if __name__ == "__main__":
    settings = replace(parse_settings(), model="tiny")
    sys.exit(serve(settings, UnhurriedEngine(settings.model, settings.body)))
