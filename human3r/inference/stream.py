"""The forward pass of one run as a stream of events: decode, run the network, yield predictions.

What becomes of the events is ``pipeline``'s business. All of them are plain records, so that the forward pass may also
run in another process, such as one that has a GPU for a limited time.

On a CPU, ``compact`` runs as five stages in five threads: decoding and preparing; encoding, in two; the recurrence; and
the consumer's own thread, which describes the frames. A stage owns its state, and hands on immutable records in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np

from human3r.errors import InputError
from human3r.inference.encoding import Ahead, Item, begin_groups, complete_groups, in_groups
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.profile import SessionOptions
from human3r.inference.loading.threads import stage_threads
from human3r.inference.prefetch import prefetch
from human3r.inference.recurrence import Advanced, SessionSnapshot
from human3r.inference.session import Session
from human3r.inference.upright import Turn, can_find_turn, turned_upright
from human3r.records import Frame, FramePrediction
from human3r.video.clip_info import ClipInfo
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits, check_smallest_side
from human3r.video.orientation import turned
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.shots.division import find_shots


@dataclass(frozen=True)
class ReconstructOptions:
    """Everything about a run that is not the clip and the model."""

    start_s: float = 0.0
    """Skip this much of the clip, seconds."""
    duration_s: float | None = None
    """Use this much of it, seconds; None is the rest."""
    fps: float | None = None
    """Use this many frames per second; None uses all."""
    max_frames: int | None = None
    """Use at most this many frames."""
    use_ttt3r: bool | None = None
    """Gate state updates (steadier on long clips); None takes the model's default."""
    reset_interval: int | None = None
    """Reset the state after this many frames; None takes the model's default, 0 never resets."""
    finds_cuts: bool = True
    """Divide the clip into shots, each with a world of its own; False takes it for one shot."""
    rotate: int | None = None
    """Turn the clip clockwise by 0, 90, 180 or 270 degrees, for one without a right orientation tag; None turns one
    that nearly all of its people show to be turned, with a model that can tell."""
    save_depth: bool = False
    """Keep a depth map per frame in the result."""
    one_world: bool = False
    """Estimate scale, floor and sizes of people of the finished clip together, so that they stand on the scene; with
    ``compact`` always."""
    limits: MediaLimits = DEFAULT_LIMITS
    """Media beyond these are refused."""
    keep_in: Path | None = None
    """Folder for rows and snapshots: an interrupted run of the same clip, model and options resumes from its last
    snapshot. Removed at the end, unless the run was stopped."""
    snapshot_every: int = 100
    """Frames between two snapshots; only with ``keep_in``."""

    def __post_init__(self) -> None:
        self.sampling  # noqa: B018 - checks the values
        turned(self.rotate or 0)
        if self.snapshot_every < 1:
            raise InputError(f"A snapshot every {self.snapshot_every} frames; it must be 1 or more.")

    @property
    def sampling(self) -> Sampling:
        """Which frames of the clip are used."""
        return Sampling(self.start_s, self.duration_s, self.fps, self.max_frames)

    def open(self, clip: Path, sampling: Sampling | None = None) -> FrameReader:
        """Open a clip for these options, or another part of it; see ``FrameReader`` for what is raised."""
        return FrameReader(clip, sampling or self.sampling, self.limits, rotate=self.rotate or 0)


@dataclass(frozen=True)
class Opened:
    """The clip is open; the first event."""

    info: ClipInfo
    session_options: SessionOptions
    """With the model's defaults filled in."""
    turn: Turn
    """Of the frames, found or given."""


@dataclass(frozen=True)
class Stepped:
    """One frame is done."""

    prediction: FramePrediction
    num_rejected: int
    """Blank or unusable frames so far."""
    snapshot: SessionSnapshot | None = None
    """The session after this frame, where one was due."""
    source: np.ndarray | None = None
    """``H W 3`` uint8, the upright source frame; None where it stayed in another process."""


@dataclass(frozen=True)
class Ended:
    """The clip is over; the last event, missing where a run is stopped."""

    warnings: tuple[str, ...]
    """Of the decoder."""


_PREPARED_AHEAD = 3
"""Prepared frames that may wait for the network."""

ForwardEvent = Opened | Stepped | Ended
Forward = Callable[[Path, LoadedModel, ReconstructOptions, SessionSnapshot | None], Generator[ForwardEvent, None, None]]


def forward(
    clip: Path,
    model: LoadedModel,
    options: ReconstructOptions,
    resume_from: SessionSnapshot | None = None,
    *,
    opening: Future[FrameReader] | None = None,
) -> Generator[ForwardEvent, None, None]:
    """Run a model over a clip in this process. Closing the iterator ends the decoder and every thread.

    Args:
        clip: The clip.
        model: The model.
        options: The options.
        resume_from: Continue from here: the frames before it are decoded and dropped.
        opening: The clip as it is being opened with the same options; see ``decoder_ahead``.

    Raises:
        InputError: The clip or an option cannot be used.
        DeviceMemoryError: The device's memory is too small.
    """
    if resume_from is not None:
        session = Session.restore(model, resume_from)
    else:
        session = Session(model, use_ttt3r=options.use_ttt3r, reset_interval=options.reset_interval)

    def prepare(frame: Frame) -> Item:
        return frame, session.prepare(frame.image, frame.picture_px)

    def finish(item: tuple[Advanced, np.ndarray]) -> Stepped:
        advanced, source = item
        prediction, after = session.describer.describe(advanced), advanced.after
        is_due = options.keep_in is not None and after.num_frames % options.snapshot_every == 0
        return Stepped(prediction, after.num_rejected, session.describer.snapshot(advanced) if is_due else None, source)

    opened = options.open(clip) if opening is None else opening.result()
    with opened as reader, ExitStack() as stages:
        stages.enter_context(stage_threads(model.profile, model.device))
        check_smallest_side(reader.info.image_size)
        turn, frames = Turn(options.rotate or 0), iter(reader)
        if options.rotate is None and can_find_turn(model):
            turn, frames = turned_upright(model, reader, options.sampling, partial(options.open, clip))
        image_size = reader.info.image_size if options.rotate else turned(turn.degrees).size(*reader.info.image_size)
        yield Opened(replace(reader.info, image_size=image_size), session.options, turn)
        source = islice(find_shots(frames) if options.finds_cuts else frames, session.num_frames, None)
        yield from map(finish, _advanced(stages, source, prepare, session))
        yield Ended(tuple(reader.warnings))


@contextmanager
def decoder_ahead(clip: Path, options: ReconstructOptions) -> Iterator[Future[FrameReader]]:
    """Start the decoder's process in a thread, such as while a model is loaded; it ends with the block."""
    with ThreadPoolExecutor(1, thread_name_prefix="decoder") as pool:
        opening = pool.submit(options.open, clip)
        # What the first frame with people needs: imported while the weights are read.
        pool.submit(import_module, "scipy.ndimage")
        try:
            yield opening
        finally:
            if opening.exception() is None:
                opening.result().close()


def _advanced(
    stages: ExitStack, source: Iterable[Frame], prepare: Callable[[Frame], Item], session: Session
) -> Iterable[tuple[Advanced, np.ndarray]]:
    """Start the stages before the last one, and return their output, with source frames; ``stages`` ends them."""
    model, recurrence = session.model, session.recurrence
    is_on_cpu = model.device.type == "cpu"
    overlaps = is_on_cpu and model.profile.overlaps_on_cpu
    gpu_batch_size = model.profile.gpu_batch_size if model.network.can_step_together else 1
    batch_size = model.profile.cpu_batch_size if is_on_cpu else gpu_batch_size

    def advance(item: tuple[Item, Ahead | None]) -> tuple[Advanced, np.ndarray]:
        (frame, prepared), ahead = item
        advanced = recurrence.advance(prepared, frame.time_s, frame.frame_index, ahead, begins_shot=frame.begins_shot)
        return replace(advanced, frame_name=frame.name), frame.image

    frames = stages.enter_context(closing(prefetch(source, prepare, max(_PREPARED_AHEAD, batch_size))))
    if overlaps:
        # Two threads encode: what needs no other frame of a group, one group ahead of the rest.
        begun = prefetch(begin_groups(model, frames, batch_size), lambda group: group, depth=1)
        items = complete_groups(model, stages.enter_context(closing(begun)))
        encoded = stages.enter_context(closing(prefetch(items, lambda item: item, 2 * batch_size)))
        return stages.enter_context(closing(prefetch(encoded, advance, depth=1)))
    if batch_size > 1:
        return map(advance, in_groups(frames, batch_size, recurrence.look_ahead))
    return map(advance, ((item, None) for item in frames))
