"""The bridge to ``human3r``: probing, running the model, previews and files. One model is held at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

import human3r
from demo.downloads import write_download
from demo.storage import RunFolder
from demo.zero_gpu import ZeroGpuForward
from human3r import ClipInfo, Sampling

if TYPE_CHECKING:
    from human3r import (
        FramePrediction,
        FrameSink,
        LiveScene,
        LoadedModel,
        Reconstruction,
        ReconstructOptions,
        RunControl,
    )

LIMITS = human3r.MediaLimits(child_cpu_s=600)
"""Limits of a visitor's clip: one that decodes slowly must not block the queue for half an hour."""
PROBE_LIMITS = replace(LIMITS, child_cpu_s=10)
"""Limits of describing a clip before its run: decoding up to a late start may not keep others waiting."""
MAX_PREVIEW_SIDE_PX = 512
_CAMERA_SHAPES = ((9, 16), (3, 4), (4, 3))
"""Height and width of most cameras' pictures."""
_SPEED_WEIGHT = 0.6
"""Weight of the newest measurement in the time per frame."""

Source = Literal["current model", "earlier weights", "other model"]
"""Which model made a saved result: the default one, the default one with earlier weights, or another one."""


@dataclass(frozen=True)
class RunRequest:
    """The request of a visitor."""

    clip: Path | None
    """The clip, or None."""
    model: str
    """One of ``Engine.model_names``."""
    options: ReconstructOptions
    """Which frames are used, and how."""


class Engine:
    """Runs ``human3r`` for the demo.

    Args:
        model: Name or path of the default model.
        body: Path of a licensed SMPL-X file, or None for the embedded body.
        spaces: The package of that name where it lends GPUs. The model then loads at once, because it has to exist
            before the page is launched, and it is the only one.
    """

    def __init__(self, model: str, body: str | None, spaces: ModuleType | None = None) -> None:
        self._default_source = model
        self._default = Path(model).name  # visitors see the name of a file, never the server's folders
        self._body_path = body
        self._lock = threading.Lock()
        self._held: tuple[str, LoadedModel] | None = None
        self._default_identity: tuple[str, str] | None = None
        self.seconds_per_frame: float | None = None
        """Measured on this machine; None before the first frame."""
        self._borrows_gpu = spaces is not None
        self._forward = human3r.forward
        if spaces is not None:
            self._forward = ZeroGpuForward(spaces, self._model(None))

    def probe(self, clip: Path) -> ClipInfo:
        """Measure a clip in the decoder process. Raises ``InputError``."""
        return human3r.probe(clip, PROBE_LIMITS)

    def read_frame(self, clip: Path, time_s: float, rotate: int = 0) -> np.ndarray | None:
        """Return the frame at a time, turned and reduced: ``H W 3`` uint8, or None where decoding takes too long."""
        sampling = Sampling(start_s=time_s, max_frames=1)
        with suppress(human3r.InputError), human3r.FrameReader(clip, sampling, PROBE_LIMITS, rotate=rotate) as reader:
            for frame in reader:
                picture = Image.fromarray(frame.image)
                picture.thumbnail((MAX_PREVIEW_SIDE_PX, MAX_PREVIEW_SIDE_PX), Image.Resampling.BOX)
                return np.asarray(picture)
        return None

    def load(self, model: str) -> None:
        """Load an offered model and measure its speed. Raises ``AssetError``, ``CheckpointError``, ``InputError``."""
        loaded = self._model(model)
        if self.seconds_per_frame is None and not self._borrows_gpu:  # a lent GPU is not available here
            session = human3r.Session(loaded)
            image = np.random.default_rng(0).integers(0, 255, (288, 384, 3), dtype=np.uint8)
            session.step(image)  # the first frame is slower
            started = time.perf_counter()
            session.step(image)
            self._update_speed(time.perf_counter() - started)

    def reconstruct(
        self, request: RunRequest, sinks: Sequence[FrameSink], control: RunControl, folder: RunFolder
    ) -> Reconstruction:
        """Run a model and write moments and keyframes into the folder; a stopped run returns the frames so far.

        Raises:
            InputError: The clip or an option cannot be used.
            Cancelled: Stopped before the first frame.
        """
        assert request.clip is not None  # ``Runs`` refuses requests without one
        started = time.perf_counter()
        model = self._model(request.model)
        moments, keyframes = human3r.Moments(), human3r.KeyframeCollector(model.body)
        result = human3r.reconstruct(
            request.clip,
            model,
            replace(request.options, limits=LIMITS),
            sinks=(moments, keyframes, *sinks),
            control=control,
            forward=self._forward,
        )
        self._update_speed((time.perf_counter() - started) / result.num_frames)
        moments.write(folder.path / human3r.MOMENTS_NAME, result)
        views = human3r.with_source_pictures(keyframes.finish(), result, request.clip)
        human3r.save_keyframes(folder.path / human3r.KEYFRAMES_NAME, views, result, keyframes.people_colors())
        return result

    def export(
        self,
        result: Reconstruction,
        clip: Path | None,
        folder: RunFolder,
        name: str,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> bool:
        """Write one file of a result; see ``write_download``."""
        return write_download(name, result, self._model(None).body, clip, folder, progress)

    @property
    def model(self) -> LoadedModel:
        """The held model; loads the default one where there is none."""
        return self._model(None)

    @property
    def can_stream(self) -> bool:
        """Whether live runs are possible: a GPU that is lent for one run at a time cannot follow a camera."""
        return not self._borrows_gpu

    def open_live(self) -> LiveScene:
        """Open a live viewer on a loopback port."""
        return human3r.LiveScene(self._model(None).body)

    def warm_up_live(self, picture: Image.Image) -> None:
        """Do what a live run does with its first frames, of usual shapes: the first time of a process is slower.

        Args:
            picture: With a person.
        """
        for height, width in _CAMERA_SHAPES:
            scale = self.model.config.image_size / max(height, width)
            image = np.asarray(ImageOps.fit(picture, (round(scale * width), round(scale * height))))
            with self.open_live() as scene, human3r.LiveStream(self.model, [image]) as stream:
                for prediction in stream:
                    scene.add(prediction)

    def preview(self, prediction: FramePrediction) -> np.ndarray:
        """Draw the people over the frame: ``H W 3`` uint8."""
        return human3r.draw_preview(prediction, self._model(None).body, MAX_PREVIEW_SIDE_PX)

    def source_of(self, result: Reconstruction) -> Source:
        """Return which model made a result, compared with the default one."""
        if self._default_identity is None:
            model = self._model(self._default)
            self._default_identity = model.name, model.sha256
        name, sha256 = self._default_identity
        if result.meta.get("model_sha256") == sha256:
            return "current model"
        return "earlier weights" if result.meta.get("model") == name else "other model"

    def model_names(self) -> tuple[str, ...]:
        """Return the names of the models that visitors can choose, the default first."""
        others = () if self._borrows_gpu else human3r.models_on_disk()
        return tuple(dict.fromkeys((self._default, *others)))

    def describe(self) -> dict[str, object]:
        """Return package version, model and device; the device is None until the model is loaded."""
        held = self._held
        name, device = (held[1].name, str(held[1].device)) if held else (self._default, None)
        return {"version": human3r.__version__, "model": name, "device": device}

    def _model(self, name: str | None) -> LoadedModel:
        """Return a model by name, or the held one for None; loads it when it is another one.

        Raises:
            InputError: The name is not offered; nothing was looked up.
        """
        name = self._default if name == "auto" else name
        if name is not None and name not in self.model_names():
            raise human3r.InputError("The requested model is not offered here.", "Choose one from the list.")
        with self._lock:
            if self._held is None or (name is not None and self._held[0] != name):
                name = name or self._default
                self._held = None  # frees the old weights before the new ones load
                source = self._default_source if name == self._default else name
                self._held = (name, human3r.load_model(source, body=self._body_path))
            return self._held[1]

    def _update_speed(self, seconds: float) -> None:
        before = self.seconds_per_frame
        self.seconds_per_frame = seconds if before is None else before + _SPEED_WEIGHT * (seconds - before)
