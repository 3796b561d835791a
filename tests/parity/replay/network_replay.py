"""Replays recorded runs of the miniature network, view by view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from human3r.errors import FormatError
from human3r.models.config import PaperConfig
from human3r.models.human3r import Human3R
from human3r.tracking.tracks import TrackBank
from human3r.video.preprocess import PreparedImage, prepare_paper
from tests.parity.replay.activations import ActivationRecorder, View, read_activations
from tests.parity.replay.clip import draw_frame
from tests.parity.replay.rows import (
    EXACT,
    HALF_ROTATION_TOLERANCE,
    HALF_TOLERANCE,
    NETWORK_TOLERANCE,
    OUTPUT_TOLERANCE,
    RowCollector,
)
from tests.parity.replay.tracking_replay import tracking_activations
from tests.parity.replay.weights import RecordedWeights

_POINT_TOLERANCE_PREFIXES = ("out.", "head.")
_IDENTITY = "out.smpl_id"


@dataclass(frozen=True)
class RunResult:
    """What is left of a run for its post-processing: the kept views."""

    views: list[View]
    """One per frame; overlap views are dropped."""
    track_ids: list[list[int]]
    has_reset: list[bool]
    config: PaperConfig


@dataclass(frozen=True)
class RunScript:
    """How a run feeds its frames."""

    frames: list[PreparedImage]
    use_ttt3r: bool
    reset_interval: int | None

    def views(self) -> list[tuple[PreparedImage, bool, bool]]:
        """Return (frame, has_reset, is_overlap) per view: after a reset the same frame is fed again."""
        fed: list[tuple[PreparedImage, bool, bool]] = []
        for index, frame in enumerate(self.frames):
            has_reset = self.reset_interval is not None and (index + 1) % self.reset_interval == 0
            fed.append((frame, has_reset, False))
            if has_reset:
                fed.append((frame, False, True))
        return fed


def replay_run(
    path: Path, weights: RecordedWeights, clip: np.ndarray, device: torch.device, collector: RowCollector
) -> RunResult:
    """Replay one run file and compare every tensor in it."""
    tensors = load_file(path)
    run = _run_meta(weights.meta, path)
    is_half = "half" in path.stem
    frames = [prepare_paper(frame, weights.config.image_size) for frame in clip[: int(run["T"])]]
    script = RunScript(frames, bool(run.get("use_ttt3r")), run.get("reset_interval"))
    det_bias = float(run.get("det_bias", weights.meta["det_bias"]))
    network = weights.network(det_bias, has_half_rotary=is_half).to(device)
    config = network.config.parts
    assert isinstance(config, PaperConfig)
    result = RunResult([], [], [], config)
    with torch.inference_mode():
        known = _run_views(network, script, run, tensors, is_half, result, collector)
    collector.fail_unknown(tensors, known)
    return result


def _run_views(
    network: Human3R,
    script: RunScript,
    run: Mapping,
    tensors: Mapping[str, Tensor],
    is_half: bool,
    result: RunResult,
    collector: RowCollector,
) -> set[str]:
    """Feed every view, compare, and keep what is needed later; return the names that were computed."""
    device = next(network.parameters()).device
    recorder, bank, state = ActivationRecorder(network), TrackBank.empty(device=device), network.initial_state()
    initial = state.state_tokens
    counts: list[int] = []
    identities: list[list[int]] = []
    known: set[str] = set()
    for index, (frame, has_reset, is_overlap) in enumerate(script.views()):
        image = frame.image[None].to(device)
        with recorder.recording():
            tokens = network.encode(image)
            prediction, after = network.step(tokens, state, use_ttt3r=script.use_ttt3r)
        view = View(image, tokens, state, after, prediction, has_reset)
        activations = read_activations(recorder, view, result.config) | {"state.init": initial}
        activations |= {
            f"track.{name}": found for name, found in tracking_activations(bank, prediction.track_features).items()
        }
        track_id, bank = bank.assign(prediction.track_features)
        activations[_IDENTITY] = track_id[None]
        known |= _compare_view(f"f{index}/", activations, tensors, is_half, collector)
        counts.append(len(prediction.score))
        identities.append(track_id.tolist())
        if not is_overlap:
            result.views.append(view)
            result.track_ids.append(identities[-1])
            result.has_reset.append(has_reset)
        state = network.reset(after) if has_reset else after
    _compare_counts(run, counts, identities, script, collector)
    return known


def _compare_view(
    prefix: str,
    activations: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    is_half: bool,
    collector: RowCollector,
) -> set[str]:
    for name, found in activations.items():
        expected = tensors.get(prefix + name)
        if expected is not None:
            tolerance, is_absolute = activation_tolerance(name, expected, is_half)
            collector.compare(prefix + name, found, expected, tolerance, is_absolute=is_absolute)
    return {prefix + name for name in activations}


def activation_tolerance(name: str, expected: Tensor, is_half: bool) -> tuple[float, bool]:
    """Return the tolerance of a activation and whether it is absolute."""
    if not expected.is_floating_point():
        return EXACT, True
    if is_half:
        is_rotation = "rotmat" in name or "rotvec" in name
        return (HALF_ROTATION_TOLERANCE, True) if is_rotation else (HALF_TOLERANCE, False)
    return (OUTPUT_TOLERANCE if name.startswith(_POINT_TOLERANCE_PREFIXES) else NETWORK_TOLERANCE), False


def _compare_counts(
    run: Mapping, counts: list[int], identities: list[list[int]], script: RunScript, collector: RowCollector
) -> None:
    """Compare what the folder's description says about the run."""
    if "n_humans" in run:
        collector.check("people per view", counts == run["n_humans"], f"{counts}, expected {run['n_humans']}")
    if "ids" in run:
        expected = [[] if ids is None else ids[0] for ids in run["ids"]]
        collector.check("identities per view", identities == expected, f"{identities}, expected {expected}")
    flags = [has_reset for _, has_reset, _ in script.views()]
    if "reset_flags" in run:
        collector.check("reset flags", flags == run["reset_flags"], f"{flags}, expected {run['reset_flags']}")
    if "views_fed" in run:
        collector.check("views fed", len(flags) == run["views_fed"], f"{len(flags)}, expected {run['views_fed']}")


def _run_meta(meta: Mapping, path: Path) -> Mapping:
    """Return the description of a run: the entry whose name the file name begins with."""
    name = path.stem.split("_")[0]
    run = meta.get("runs", {}).get(path.stem) or meta.get("runs", {}).get(name)
    if run is None:
        raise FormatError(f"meta.json of the golden folder does not describe the run {name}.")
    return run


def load_clip(folder: Path, meta: Mapping, collector: RowCollector) -> np.ndarray:
    """Return the frames ``T H W 3``, and check them against the formula they come from."""
    clip = meta["clip"]
    length = max((int(run["T"]) for run in meta.get("runs", {}).values()), default=0)
    size, seed = (int(clip["H"]), int(clip["W"])), int(clip["seed"])
    path = folder / "clip_uint8.npz"
    if not path.is_file():
        return np.stack([draw_frame(size, index, seed) for index in range(length)])
    with np.load(path, allow_pickle=False) as archive:
        frames = archive[archive.files[0]]
    drawn = np.stack([draw_frame(size, index, seed) for index in range(len(frames))])
    collector.check("clip", np.array_equal(frames, drawn), "the frames are not those of the formula")
    if len(frames) >= length:
        return frames
    return np.stack([draw_frame(size, index, seed) for index in range(length)])
