"""The demo with the tiny model and a pause after every frame: a run lasts long enough for the tests on any machine.

Takes the options of ``app.py``. The page, the server, the decoder, the viewers and the files are the real ones.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from demo.engine import Engine, RunRequest
from demo.server import serve
from demo.settings import parse_settings
from demo.storage import RunFolder
from human3r import FramePrediction, FrameSink, Reconstruction, RunControl

PAUSE_S = 0.25


class Pause:
    """A frame sink that waits."""

    def add(self, prediction: FramePrediction) -> None:
        time.sleep(PAUSE_S)


class SlowEngine(Engine):
    """Pauses between frames."""

    def reconstruct(
        self, request: RunRequest, sinks: Sequence[FrameSink], control: RunControl, folder: RunFolder
    ) -> Reconstruction:
        return super().reconstruct(request, [*sinks, Pause()], control, folder)


if __name__ == "__main__":
    settings = replace(parse_settings(), model="tiny")
    code = serve(settings, SlowEngine(settings.model, settings.body))
    sys.stdout.flush()
    os._exit(code)  # as app.py does
