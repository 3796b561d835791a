"""Speed and memory of a model on this machine: the network alone, and ``reconstruct`` from file to file.

Threads, batches and overlap are those of ``reconstruct``, with cores divided by ``stage_threads`` in both figures.
Warm-up frames are not counted. Networks of the paper without their weights run with seeded random ones: the time
depends on the values only through the number of people.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from human3r.assets.conversion.convert import lean_config
from human3r.assets.registry import find_weights
from human3r.benchmarking.breakdown import measure_parts
from human3r.benchmarking.flops import count_compact_flops, count_flops
from human3r.benchmarking.measuring import HostWaits, measured_peak
from human3r.benchmarking.report import BenchmarkReport, RunTimes, Timing, summarize
from human3r.bodies import load_body
from human3r.errors import InputError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model, prepare_network
from human3r.inference.loading.precision import choose_policy
from human3r.inference.loading.profile import profile_of
from human3r.inference.loading.threads import stage_threads
from human3r.inference.pipeline import reconstruct
from human3r.inference.session import Session
from human3r.models.build import build_network, seed_weights
from human3r.models.compact.image_encoder import CompactImageEncoder
from human3r.models.config import PRESETS
from human3r.models.paper.dinov2 import HumanTokens
from human3r.models.paper.prompts import HeadPrompter, suppress_non_maxima
from human3r.models.precision import Precision, set_precision
from human3r.records import FramePrediction
from human3r.temporary import temporary_folder
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.writer import VideoWriter

_CLIP_FPS = 30.0
_USUAL_PEOPLE = 3
_WHAT_FORWARD = "encode and step of one stream, batch 1, per frame; image already prepared"
_WHAT_END_TO_END = "clip file to reconstruction.npz: decoding, preparing, network, identities, bodies, storing, saving"


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of a benchmark."""

    model: str = "auto"
    num_frames: int = 30
    """Timed frames."""
    frame_size: tuple[int, int] = (360, 640)
    """(height, width) of generated source frames."""
    num_people: int | None = None
    """Set the detection threshold of a network of the paper such that it detects this many people in the first frame;
    None keeps the threshold, but means three with random weights."""
    device: str = "auto"
    precision: str = "auto"
    warmup_frames: int = 3
    clip: Path | None = None
    """Measure on this clip instead of a generated pattern without people."""
    num_runs: int = 3


def run_benchmark(options: BenchmarkOptions) -> BenchmarkReport:
    """Measure a model.

    Raises:
        InputError: An option is invalid.
        AssetError: The model cannot be loaded.
    """
    if options.num_frames < 1 or options.warmup_frames < 1:
        raise InputError(
            f"{options.num_frames} timed and {options.warmup_frames} warm-up frames: both must be 1 or more."
        )
    model, weights = load_or_seed(options)
    with temporary_folder() as folder:
        clip = options.clip or _write_pattern(folder / "pattern.mp4", options)
        num_needed = options.num_frames + options.warmup_frames
        with FrameReader(clip, Sampling(max_frames=num_needed)) as reader:
            frames = [frame.image for frame in reader]
        if len(frames) <= options.warmup_frames:
            raise InputError(f"The clip has {len(frames)} frames; more than {options.warmup_frames} are needed.")
        if options.num_people is not None or weights == "random":
            # Random scores would give hundreds of detections.
            _force_people(model, frames[0], _USUAL_PEOPLE if options.num_people is None else options.num_people)
        images = [Session(model).prepare(frame).image[None].to(model.device) for frame in frames]
        with stage_threads(model.profile, model.device):
            forward = [_time_forward(model, images, options.warmup_frames) for _ in range(options.num_runs)]
        end_to_end = [
            _time_end_to_end(model, clip, Path(folder), len(frames), options.warmup_frames)
            for _ in range(options.num_runs)
        ]
        # Before the parts that only the benchmark runs use memory.
        peak_memory_mb = _peak_memory_mb(model.device)
        with stage_threads(model.profile, model.device):
            parts = measure_parts(model, clip, len(frames), options.warmup_frames)
    summary = summarize(_WHAT_FORWARD, forward)
    people, kept = end_to_end[0][1:]
    flops = _count_flops(model, images[-1], round(people))
    peak = measured_peak(model.device, _matrix_precision(model))
    return BenchmarkReport(
        model=model.name,
        weights=weights,
        device=str(model.device),
        device_name=device_name(model.device),
        threads=torch.get_num_threads(),
        precision=model.precision,
        matrix_precision=_matrix_precision(model),
        torch_version=torch.__version__,
        source_size=(frames[0].shape[0], frames[0].shape[1]),
        network_size=(images[0].shape[2], images[0].shape[3]),
        warmup_frames=options.warmup_frames,
        people_mean=people,
        forward=summary,
        end_to_end=summarize(_WHAT_END_TO_END, [times for times, *_ in end_to_end]),
        parts=parts,
        flops_per_step=flops,
        peak_flops=peak,
        share_of_peak=flops / peak / _seconds_at_full_width(model.device, summary),
        host_waits=_count_waits(model, images),
        peak_memory_mb=peak_memory_mb,
        bytes_kept_per_frame=kept,
    )


def _seconds_at_full_width(device: torch.device, forward: Timing) -> float:
    """Return the time of a frame as if all threads had shared its processor time evenly."""
    return forward.seconds_median if device.type != "cpu" else forward.cpu_seconds / torch.get_num_threads()


def _matrix_precision(model: LoadedModel) -> Precision:
    if isinstance(model.network.image_encoder, CompactImageEncoder):
        return "bf16" if model.network.image_encoder.trunk.stem.weight.dtype == torch.bfloat16 else "fp32"
    return model.policy.precision


def _count_flops(model: LoadedModel, image: torch.Tensor, num_people: int) -> int:
    if model.config.architecture == "compact":
        return count_compact_flops(image.cpu())
    return count_flops(model.config, (image.shape[2], image.shape[3]), num_people).lean


def _count_waits(model: LoadedModel, images: list[torch.Tensor]) -> int:
    """Return the host waits in the last step of a short stream, since the first steps have no history."""
    network, state = model.network, model.network.initial_state().to(model.device)
    waits = HostWaits()
    with torch.inference_mode(), model.policy.autocast():
        for image in images[-3:]:
            tokens = network.encode(image)
            waits.names.clear()
            with waits:
                _, state = network.step(tokens, state)
    return len(waits.names)


def load_or_seed(options: BenchmarkOptions) -> tuple[LoadedModel, str]:
    """Return the model, and ``loaded``, or ``random`` for a network of the paper whose weights are not here."""
    config = PRESETS.get(options.model)
    if config is None or options.model == "tiny" or find_weights(options.model):
        return load_model(options.model, options.device, options.precision), "loaded"
    config = lean_config(config)
    profile = profile_of(config)
    policy = choose_policy(options.device, options.precision, profile)
    with torch.device("meta"):
        network = build_network(config)
    # Only one copy of the weights, in their precision.
    set_precision(network, policy.precision)
    network = network.to_empty(device="cpu")
    seed_weights(network)
    network = prepare_network(network, policy)
    return LoadedModel(network, load_body(None), config, config.name, "random", policy, profile), "random"


def _write_pattern(path: Path, options: BenchmarkOptions) -> Path:
    """Write a clip of drifting color waves, which is textured and cheap to encode."""
    height, width = options.frame_size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    with VideoWriter(path, _CLIP_FPS) as writer:
        for index in range(options.num_frames + options.warmup_frames):
            waves = [
                np.sin(x / 23 + 0.2 * index) + np.cos(y / 17),
                np.sin((x + y) / 31 - 0.1 * index) + np.cos(x / 11),
                np.cos((x - y) / 19 + 0.15 * index) + np.sin(y / 29),
            ]
            writer.append((127.5 + 60 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8))
    return path


def _force_people(model: LoadedModel, frame: np.ndarray, num_people: int) -> None:
    """Set the detection threshold such that one frame has ``num_people``; others may have a few more or less."""
    prompter, network = model.network.prompter, model.network
    if not isinstance(prompter, HeadPrompter):
        raise InputError(f"The number of people of {model.name} cannot be forced.", "Measure it on a clip with people.")
    with torch.inference_mode(), model.policy.autocast():
        human = network.human_prior(Session(model).prepare(frame).image[None].to(model.device))
    assert isinstance(human, HumanTokens)
    peaks = suppress_non_maxima(human.score.float()).flatten().sort(descending=True).values.cpu()
    if num_people >= len(peaks):
        raise InputError(f"No frame has {num_people} people.", "Ask for fewer.")
    higher = peaks[num_people - 1] if num_people else torch.ones(())
    prompter.threshold = float((higher + peaks[num_people]) / 2)


def _time_forward(model: LoadedModel, images: list[torch.Tensor], num_warmup: int) -> RunTimes:
    network = model.network
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    with torch.inference_mode():
        state = network.initial_state().to(model.device)
        for image in images:
            _wait(model.device)
            started, cpu_started = time.perf_counter(), time.process_time()
            with model.policy.autocast():
                _, state = network.step(network.encode(image), state)
            _wait(model.device)
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - cpu_started)
    return RunTimes(seconds[num_warmup:], sum(seconds[num_warmup:]), sum(cpu_seconds[num_warmup:]))


def _time_end_to_end(
    model: LoadedModel, clip: Path, folder: Path, num_frames: int, num_warmup: int
) -> tuple[RunTimes, float, float]:
    """Return the times, people per frame, and bytes kept per frame."""
    marks: list[float] = []
    cpu_marks: list[float] = []
    people: list[int] = []
    kept: list[int] = []

    def on_frame(prediction: FramePrediction) -> None:
        marks.append(time.perf_counter())
        cpu_marks.append(time.process_time())
        people.append(len(prediction.people))
        kept.append(_bytes_of(prediction))

    result = reconstruct(clip, model, on_frame=on_frame, max_frames=num_frames)
    result.save(folder / "reconstruction.npz")
    ended, cpu_ended = time.perf_counter(), time.process_time()
    before = num_warmup - 1
    times = RunTimes(list(np.diff(marks[before:])), ended - marks[before], cpu_ended - cpu_marks[before])
    return times, float(np.mean(people[num_warmup:])), float(np.mean(kept[num_warmup:]))


def _bytes_of(prediction: FramePrediction) -> int:
    """Bytes kept per frame: camera, times, one table row per person."""
    rows = [*vars(prediction.parameters_world).values(), prediction.joints_world]
    per_person = sum(tensor.numel() * tensor.element_size() for tensor in rows) + 20 * len(prediction.people)
    return per_person + (9 + 16) * 4 + 16


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def device_name(device: torch.device) -> str:
    """Return the product name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
