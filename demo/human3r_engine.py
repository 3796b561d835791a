"""The ``Engine`` of the real demo, over ``human3r``. Models load once; one is held at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

import human3r
from demo.engine import Maker, RunListener, RunOptions
from demo.runs import ON_DEMAND
from demo.viewer import LiveScene
from demo.zero_gpu import LentForward
from human3r.assets.registry import ASSETS, find_weights
from human3r.inference.stream import Forward, forward
from human3r.video.limits import DEFAULT_LIMITS

LIMITS = replace(DEFAULT_LIMITS, child_cpu_s=600)
"""What a visitor's clip may cost: one that is slow to decode must not hold up the line for half an hour."""
_PREVIEW_LONG_SIDE = 512
_SMOOTHING = 0.6
"""Weight of the newest measurement in the time per frame."""


class Human3REngine:
    """Runs ``human3r`` for the demo; see ``demo.engine.Engine`` for the methods.

    Args:
        model: Name or path of the model that visitors get by default.
        body: Path of a licensed SMPL-X file, or None for the embedded body.
        spaces: The package of that name where it lends GPUs. The model is then loaded at once, because it has to be
            there before the page is launched, and it is the only one.
    """

    def __init__(self, model: str, body: str | None, spaces: ModuleType | None = None) -> None:
        self._default_source = model
        # A visitor sees the file's name, never the server's folders.
        self._default = Path(model).name
        self._body_path = body
        self._lock = threading.Lock()
        self._held: tuple[str, human3r.LoadedModel] | None = None
        self._identity: tuple[str, str] | None = None
        self._seconds_per_frame: float | None = None
        self._forward: Forward = forward
        self._borrows_gpu = spaces is not None
        if spaces is not None:
            self._forward = LentForward(spaces, self._model(None))

    def probe(self, clip: Path) -> human3r.ClipInfo:
        """Measure a clip in the decoder process."""
        return human3r.probe(clip, LIMITS)

    def peek(self, clip: Path, start_s: float) -> np.ndarray | None:
        """Decode the frame at a time."""
        from human3r.video.reader import FrameReader
        from human3r.video.sampling import Sampling

        with FrameReader(clip, Sampling(start_s=start_s, max_frames=1), LIMITS) as reader:
            return next((_at_most(frame.image, _PREVIEW_LONG_SIDE) for frame in reader), None)

    def load(self, model: str) -> None:
        """Have a model ready, and know how fast it is here: its first frames are the slow ones."""
        loaded = self._model(model)
        if self._seconds_per_frame is None and not self._borrows_gpu:  # a lent GPU is not here, and not for this
            session = human3r.Session(loaded)
            picture = np.random.default_rng(0).integers(0, 255, (288, 384, 3), dtype=np.uint8)
            session.step(picture)
            started = time.perf_counter()
            session.step(picture)
            self._note_speed(time.perf_counter() - started)

    def reconstruct(self, clip: Path, options: RunOptions, listener: RunListener) -> human3r.Reconstruction:
        """Run the model over the clip."""
        from human3r.export.viewer.moments import MOMENTS_NAME, Moments

        started = time.perf_counter()
        moments = Moments()
        run_options = human3r.ReconstructOptions(
            start_s=options.start_s,
            duration_s=options.duration_s,
            fps=options.fps,
            max_frames=options.max_frames,
            use_ttt3r=options.use_ttt3r or None,
            reset_interval=options.reset_interval,
            limits=LIMITS,
        )
        result = human3r.reconstruct(
            clip,
            self._model(options.model),
            run_options,
            sinks=() if listener.folder is None else (moments,),
            on_frame=listener.on_frame,
            control=human3r.RunControl(listener.should_stop, lambda info, num_done: listener.on_start(info)),
            forward=self._forward,
        )
        self._note_speed((time.perf_counter() - started) / result.num_frames)
        if listener.folder is not None:
            moments.write(listener.folder / MOMENTS_NAME, result)
        return result

    def open_live(self) -> LiveScene | None:
        """Open a live viewer on a loopback port."""
        from human3r.export.viewer.live import LiveScene as ViserScene

        return ViserScene(self._model(None).body)

    def preview(self, prediction: human3r.FramePrediction) -> np.ndarray:
        """Draw the people over the network's view of the frame, put back into the shape of the source frame."""
        from human3r.rendering import draw_prediction

        height, width = prediction.camera.image_size
        scale = min(1.0, _PREVIEW_LONG_SIDE / max(height, width))
        canvas = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))))
        left, top, right, bottom = (round(edge * scale) for edge in prediction.source_rect_px)
        seen = Image.fromarray(prediction.image.numpy()).resize((max(1, right - left), max(1, bottom - top)))
        canvas.paste(seen, (left, top))
        return draw_prediction(np.asarray(canvas), prediction, self._model(None).body)

    def export(self, result: human3r.Reconstruction, clip: Path | None, folder: Path, name: str) -> bool:
        """Write one file of a result."""
        from human3r.export import MANIFEST_NAME, export_file, format_of, write_manifest
        from human3r.export.viewer.moments import MOMENTS_NAME

        path = folder / name
        if name == MANIFEST_NAME:
            write_manifest(folder, [file for file in _finished_files(folder) if file.name != name])
        elif name == "everything.zip":
            self._export_everything(result, clip, path)
        elif format_of(path).needs == "clip" and clip is None:
            return False
        else:
            body = self._model(None).body
            export_file(result, path, body=body, clip=clip, moments=folder / MOMENTS_NAME)
        return True

    def _export_everything(self, result: human3r.Reconstruction, clip: Path | None, path: Path) -> None:
        from human3r.export import MANIFEST_NAME, write_zip
        from human3r.export.viewer.moments import MOMENTS_NAME

        for name in ON_DEMAND:
            if name not in (path.name, MANIFEST_NAME) and not (path.parent / name).is_file():
                self.export(result, clip, path.parent, name)
        self.export(result, clip, path.parent, MANIFEST_NAME)
        files = [file for file in _finished_files(path.parent) if file.name not in (path.name, MOMENTS_NAME)]
        write_zip(path, files, path.parent)

    def maker_of(self, result: human3r.Reconstruction) -> Maker:
        """Say which model made a result, compared with the default one."""
        if self._identity is None:
            model = self._model(self._default)
            self._identity = model.name, model.sha256
        name, sha256 = self._identity
        if result.meta.get("model_sha256") == sha256:
            return "this model"
        return "earlier weights" if result.meta.get("model") == name else "another model"

    def model_names(self) -> tuple[str, ...]:
        """Return the default, then the other models that are on this machine."""
        if self._borrows_gpu:
            return (self._default,)
        here = (name for name, asset in ASSETS.items() if name != "tiny" and (asset.is_embedded or find_weights(name)))
        return tuple(dict.fromkeys((self._default, *here)))

    def describe(self) -> dict[str, object]:
        """Return version, model and device; the device is null until the model is there."""
        held = self._held
        name, device = (held[1].name, str(held[1].device)) if held else (self._default, None)
        return {"version": human3r.__version__, "model": name, "device": device}

    def seconds_per_frame(self) -> float | None:
        """Return the measured time per frame on this machine."""
        return self._seconds_per_frame

    def _model(self, name: str | None) -> human3r.LoadedModel:
        """Return a model by name, or the one that is held; loads it when it is another one.

        Raises:
            InputError: The name is not one that visitors can choose; nothing was looked up.
        """
        name = self._default if name == "auto" else name
        if name is not None and name not in self.model_names():
            raise human3r.InputError("The model that was asked for is not offered here.", "Choose one from the list.")
        with self._lock:
            if self._held is None or (name is not None and self._held[0] != name):
                name = name or self._default
                source = self._default_source if name == self._default else name
                self._held = None  # frees the old weights before the new ones come
                self._held = (name, human3r.load_model(source, body=self._body_path))
            return self._held[1]

    def _note_speed(self, seconds: float) -> None:
        before = self._seconds_per_frame
        self._seconds_per_frame = seconds if before is None else before + _SMOOTHING * (seconds - before)


def _at_most(image: np.ndarray, long_side: int) -> np.ndarray:
    """Shrink ``H W 3`` uint8 so that its longer side is at most so many pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _finished_files(folder: Path) -> list[Path]:
    """Return the files of a result; those that are still being written have hidden names."""
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
