"""Training loop of the lifter: simulate, lift, step; one process, one body.

``train`` may be stopped at any time; called again with the same output folder, it resumes with the same random numbers.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from human3r.assets.shards import read_module
from human3r.atomic import whole_or_absent
from human3r.bodies import load_body
from human3r.bodies.joints import COCO17_HEAD_VERTICES
from human3r.bodies.smplx import SmplxBody
from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS, NUM_KEYPOINTS, BodyPoints
from human3r.models.compact.people.lifting.lifter import BodyLifter
from human3r.records import concatenate
from human3r.skeleton import Joint
from human3r.training.lifter.config import LifterTraining
from human3r.training.lifter.losses import lifter_losses
from human3r.training.lifter.mixing import RenderedSampler, rendered_people
from human3r.training.lifter.rendered import read_rendered
from human3r.training.lifter.validation import HEADER, lift_every_way, score_table
from human3r.training.loop import (
    load_checkpoint,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    update_average,
    warmup_cosine,
)
from human3r.training.motion import load_motions
from human3r.training.simulation.poses import MotionSampler
from human3r.training.simulation.rotations import RandomSource
from human3r.training.simulation.simulator import (
    SequenceMix,
    SimulatedPeople,
    Simulator,
    draw_forgotten,
    window_of,
)

_LOG = logging.getLogger(__name__)
_CHECKPOINT = "checkpoint.safetensors"
_LOG_EVERY = 200
_DRAWN_AT_ONCE = 8


def build_body_points(body: SmplxBody, config: LifterTraining) -> BodyPoints:
    """Copy what the lifter needs from a body: joints and face points; add where annotators click."""
    points = BodyPoints()
    faces = list(COCO17_HEAD_VERTICES)
    root = body.joint_template[:1]
    root_directions = body.joint_shape_directions[:1]
    points.joint_template.copy_(body.joint_template[:22] - root)
    points.joint_directions.copy_(body.joint_shape_directions[:22] - root_directions)
    points.face_template.copy_(body.template[faces] - body.joint_template[Joint.HEAD])
    points.face_directions.copy_(body.shape_directions[faces] - body.joint_shape_directions[Joint.HEAD])
    mirrored = torch.tensor([-1.0, 1.0, 1.0])
    left = (0, *range(1, NUM_KEYPOINTS, 2))
    for keypoint, offset in zip(left, config.annotation_offsets_m, strict=True):
        points.keypoint_offsets[MIRRORED_KEYPOINTS[keypoint]] = torch.tensor(offset) * mirrored
        points.keypoint_offsets[keypoint] = torch.tensor(offset)
    return points


@dataclass
class _Run:
    """Mutable state of a run."""

    lifter: BodyLifter
    average: BodyLifter
    optimizer: torch.optim.Optimizer
    rng: RandomSource
    step: int = 0
    seconds: float = 0.0
    state: Tensor | None = None
    """``P width`` memory of the people that the next batch continues; None if it starts with new ones."""


def train(config: LifterTraining, points: BodyPoints | None = None) -> Path:
    """Train, or resume training, until the time or the steps of ``config`` are used up.

    Args:
        points: The skeleton; the default copies it from the body that ``config`` names.

    Returns:
        The weights file (averaged weights, fp16, settings in its header).
    """
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    if points is None:
        points = build_body_points(load_body(config.body or None), config)
    training, validation = build_simulators(config, points)
    rendered = _build_sampler(config, points)
    torch.manual_seed(config.seed)
    run = _start(config, points)
    _resume(run, output / _CHECKPOINT)
    unseen = RandomSource(torch.Generator().manual_seed(config.seed + 1))
    held_out = {"": validation.sample(unseen, config.validation_people // validation.sequence.length)}
    if config.rendered.held_out:
        everybody = replace(config.rendered, keeps_exchanged=True)
        held_out["rendered, "] = rendered_people(read_rendered(Path(config.rendered.held_out)), points, everybody)
    next_validation = run.seconds
    batches = _batches(training, rendered, run.rng, config)
    while _progress(run, config) < 1:
        started = time.perf_counter()
        truth, is_new = next(batches)
        terms = _train_step(run, config, truth, is_new)
        run.step += 1
        run.seconds += time.perf_counter() - started
        if run.step % _LOG_EVERY == 0:
            parts = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            _LOG.info("step %d, %.1f min, %.0f people/s: %s", run.step, run.seconds / 60, _rate(run, config), parts)
        if run.seconds >= next_validation or _progress(run, config) >= 1:
            next_validation = run.seconds + 60 * config.validate_minutes
            _validate(run, config, held_out, output / "validation.txt")
            _save_checkpoint(run, output / _CHECKPOINT)
            save_weights(run.average, config, output / "lifter.safetensors")
    return output / "lifter.safetensors"


def _batches(
    simulator: Simulator,
    rendered: RenderedSampler | None,
    rng: RandomSource,
    config: LifterTraining,
) -> Iterator[tuple[SimulatedPeople, bool]]:
    """Draw several batches at once: the cost of the simulator's many small operations hardly depends on the number.

    Yields:
        People, and whether they are new (False: the next frames of those of the last batch).
    """
    mix = config.sequence
    shown = round(config.batch * config.rendered.share) if rendered is not None else 0
    while True:
        if simulator.sequence.length > 1:
            people = simulator.sample(rng, config.batch // mix.frames)
            yield from ((window_of(people, mix, index), index == 0) for index in range(mix.windows))
            continue
        people = simulator.sample(rng, _DRAWN_AT_ONCE * (config.batch - shown))
        # Poses are sorted by kind; every batch takes each eighth person to contain all kinds.
        for start in range(_DRAWN_AT_ONCE):
            batch = people.map(lambda values, start=start: values[start::_DRAWN_AT_ONCE])
            yield (batch if rendered is None else concatenate([batch, rendered.sample(rng, shown)])), True


def _build_sampler(config: LifterTraining, points: BodyPoints) -> RenderedSampler | None:
    mix = config.rendered
    if not mix.pairs:
        return None
    people = rendered_people(read_rendered(Path(mix.pairs)), points, mix)
    return RenderedSampler(people, points, config.bodies, mix.roll_deg)


def build_simulators(config: LifterTraining, points: BodyPoints) -> tuple[Simulator, Simulator]:
    """Return the simulators of training and of validation; they share no motion clip."""
    motions = load_motions(config.motion or None, points.joint_template.double().numpy())
    held_out = [motion for motion in motions if any(name in motion.name for name in config.held_out)]
    kept = [motion for motion in motions if all(motion is not other for other in held_out)]
    # Validation: unseen clips as they were captured, and as many seated people as in training.
    undisturbed = {"swap_upper_body": 0.0, "blend_frames": 0.0, "random_arm": 0.0, "noise": 0.3}
    plain = replace(config.poses, bending=0.0, lying=0.0, **undisturbed)
    samplers = MotionSampler(kept, config.poses), MotionSampler(held_out or kept, plain)
    sequence = config.sequence if config.memory_width else SequenceMix(windows=1)
    training, validation = (
        Simulator(points, sampler, config.bodies, config.cameras, config.detector, sequence) for sampler in samplers
    )
    return training, validation


def save_weights(lifter: BodyLifter, config: LifterTraining, path: Path) -> None:
    """Write fp16 weights with the settings as JSON in the header; the file is whole or absent."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() and "points." not in name else tensor).contiguous()
        for name, tensor in lifter.state_dict().items()
    }
    # The header of published weights must not name folders of this machine.
    rendered = _without(asdict(config.rendered), ("pairs", "held_out"))
    settings = _without(asdict(config), ("motion", "body", "output", "start")) | {"rendered": rendered}
    header = {"width": config.width, "depth": config.depth, "memory_width": config.memory_width, "training": settings}
    with whole_or_absent(path) as temporary:
        save_file(tensors, temporary, metadata={"lifter": json.dumps(header)})


def _without(settings: dict[str, object], folders: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in folders}


def _start(config: LifterTraining, points: BodyPoints) -> _Run:
    lifter = BodyLifter(points, config.width, config.depth, memory_width=config.memory_width)
    average = BodyLifter(points, config.width, config.depth, memory_width=config.memory_width)
    if config.start:
        tables = {f"points.{name}": table for name, table in points.state_dict().items()}
        lifter.load_state_dict(lifter.state_dict() | _start_weights(config.start) | tables)
    average.load_state_dict(lifter.state_dict())
    average.requires_grad_(False)
    if config.memory_only:
        assert lifter.memory is not None
        lifter.requires_grad_(False)
        lifter.memory.requires_grad_(True)
    trained = [parameter for parameter in lifter.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    return _Run(lifter, average, optimizer, RandomSource(torch.Generator().manual_seed(config.seed)))


def _start_weights(start: str) -> dict[str, Tensor]:
    """Return averaged weights of a checkpoint, or the shipped ones but for their memory, which starts fresh."""
    if start != "shipped":
        return load_checkpoint(Path(start))[0]["average"]
    shipped = read_module("person_head.lifter.")
    return {name: values for name, values in shipped.items() if not name.startswith(("from_token.", "memory."))}


def _progress(run: _Run, config: LifterTraining) -> float:
    """Return the share of the run that is done; slightly over 1 at the end."""
    return run.step / config.steps if config.steps else run.seconds / (60.0 * config.minutes)


def _train_step(run: _Run, config: LifterTraining, truth: SimulatedPeople, is_new: bool) -> dict[str, float]:
    rate = config.learning_rate * warmup_cosine(_progress(run, config), config.warmup, floor=0.01)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16, enabled=config.use_bf16):
        if run.lifter.memory is None:
            lifted, frames = run.lifter(truth.people), 1
        else:
            frames = config.sequence.frames
            before = run.state
            if is_new or before is None:
                before = run.lifter.memory.initial_state(len(truth.weight) // frames)
            forgotten = draw_forgotten(run.rng, config.sequence, len(before))
            seen = truth.weight > 0
            lifted, after = run.lifter.follow(truth.people, before, frames=frames, is_seen=seen, is_new=forgotten)
            run.state = after.detach()
    loss, terms = lifter_losses(lifted, truth, run.lifter.points, config.losses, frames)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.lifter.parameters(), 1.0)
    if torch.isfinite(norm):
        run.optimizer.step()
    update_average(run.average.parameters(), run.lifter.parameters(), run.step, config.ema)
    return terms


@torch.no_grad()
def _validate(run: _Run, config: LifterTraining, held_out: dict[str, SimulatedPeople], path: Path) -> None:
    lines = [f"after {run.step} steps, {run.seconds / 60:.1f} minutes", HEADER]
    for source, people in held_out.items():
        for how, lifted in lift_every_way(run.average, people, config.sequence.length).items():
            table = score_table(lifted, people, run.average.points)
            lines += [f"{source + how + name:30s} {scores.row()}" for name, scores in table.items()]
    _LOG.info("%s", "\n".join(lines))
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _rate(run: _Run, config: LifterTraining) -> float:
    return run.step * config.batch / max(run.seconds, 1e-6)


def _save_checkpoint(run: _Run, path: Path) -> None:
    groups = {
        "lifter": run.lifter.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": optimizer_tensors(run.optimizer),
        "random": {"generator": run.rng.generator.get_state()},
    }
    save_checkpoint(path, groups, step=run.step, seconds=run.seconds)


def _resume(run: _Run, path: Path) -> None:
    if not path.is_file():
        return
    groups, facts = load_checkpoint(path)
    # The skeleton's tables come from the body of this run: a run may resume with a corrected body.
    tables = {f"points.{name}": table for name, table in run.lifter.points.state_dict().items()}
    run.lifter.load_state_dict(groups["lifter"] | tables)
    run.average.load_state_dict(groups["average"] | tables)
    load_optimizer(run.optimizer, groups["optimizer"])
    run.rng.generator.set_state(groups["random"]["generator"])
    run.step, run.seconds = int(str(facts["step"])), float(str(facts["seconds"]))
    _LOG.info("resumed at step %d after %.1f minutes", run.step, run.seconds / 60)
