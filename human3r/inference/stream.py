"""The forward pass of one run as a stream of events: decode ahead, step, hand on.

What the events become (files, viewers, progress) is ``pipeline``'s business. All of them are plain records, so that the
forward pass may also run in another process, such as one that has the GPU for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from human3r.inference.loading import LoadedModel
from human3r.inference.prefetch import Prefetcher
from human3r.inference.session import Advanced, Ahead, Session, SessionOptions, SessionSnapshot
from human3r.records import Frame, FramePrediction
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
from human3r.video.preprocess import PreparedImage
from human3r.video.probe import ClipInfo
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling


@dataclass(frozen=True)
class RunOptions:
    """Everything about a run that is not the clip and the model."""

    sampling: Sampling = field(default_factory=Sampling)
    use_ttt3r: bool | None = None
    """None takes the model's default."""
    reset_interval: int | None = None
    """None takes the model's default, 0 never resets."""
    save_depth: bool = False
    """Keep a depth map per frame in the result."""
    limits: MediaLimits = DEFAULT_LIMITS
    batch_size: int | None = None
    """Frames that go through encoders and point head together, where the network can; None chooses by device."""
    snapshot_every: int = 0
    """Hand out the session's snapshot after every so many frames; 0 never does."""
    resume_from: SessionSnapshot | None = None
    """Go on from here: the frames that it has seen are decoded and dropped."""


@dataclass(frozen=True)
class Opened:
    """The clip is open; the first event."""

    info: ClipInfo
    session_options: SessionOptions
    """With the model's defaults filled in."""


@dataclass(frozen=True)
class Stepped:
    """One frame is done."""

    prediction: FramePrediction
    num_rejected: int
    """Blank or unusable frames so far."""
    snapshot: SessionSnapshot | None = None
    """The session after this frame, where one was due."""


@dataclass(frozen=True)
class Ended:
    """The clip is over; the last event, which a run that is stopped does not see."""

    warnings: tuple[str, ...]
    """What the decoder had to say."""


_WAITING = 3
"""Prepared frames that may wait for the network."""
_GPU_BATCH = 4
_COMPACT_BATCH = 4
_Item = tuple[Frame, PreparedImage, Ahead | None]

Event = Opened | Stepped | Ended
Forward = Callable[[Path, LoadedModel, RunOptions], Generator[Event, None, None]]


def forward(clip: Path, model: LoadedModel, options: RunOptions) -> Generator[Event, None, None]:
    """Run a model over a clip, here and now. Closing the iterator ends the decoder and every thread.

    Raises:
        InputError: The clip or an option cannot be used.
        DeviceMemoryError: The device's memory is too small.
    """
    session = _start(model, options)
    num_done = session.num_frames
    encodes_ahead = model.config.architecture == "compact" and model.device.type == "cpu"

    batch_size = options.batch_size or _batch_size(model)

    def prepare(frame: Frame) -> _Item:
        return frame, session.prepare(frame.image), None

    def advance(item: _Item) -> Advanced:
        frame, prepared, ahead = item
        return session.advance(prepared, frame.time_s, frame.frame_index, ahead)

    def describe(advanced: Advanced) -> Stepped:
        prediction, after = session.describe(advanced), advanced.after
        is_due = options.snapshot_every and after.num_frames % options.snapshot_every == 0
        return Stepped(prediction, after.num_rejected, session.snapshot(advanced) if is_due else None)

    with FrameReader(clip, options.sampling, options.limits) as reader:
        yield Opened(reader.info, session.options)
        # What is stateless runs ahead of the recurrence by a few frames.
        source, depth = islice(reader, num_done, None), max(_WAITING, batch_size)
        with _threads_per_half(encodes_ahead), Prefetcher(source, prepare, depth) as frames:
            looked = _together(session, frames, batch_size)
            if encodes_ahead:
                # And the recurrence ahead of whoever asks for events, in whose thread frames are described meanwhile.
                # The next group is encoded while the frames of the last one still wait for their turn.
                ahead = Prefetcher(looked, lambda item: item, 2 * batch_size)
                with ahead, Prefetcher(ahead, advance, depth=1) as advanced:
                    yield from map(describe, advanced)
            else:
                items = looked if batch_size > 1 else frames
                yield from (describe(advance(item)) for item in items)
        yield Ended(tuple(reader.warnings))


def _batch_size(model: LoadedModel) -> int:
    """Return how many frames of a file go through the network together.

    Small batches leave a GPU half idle. On a CPU frames share the reading of the weights and the calls of operators:
    the encoders of ``compact`` take a tenth less per frame, and say the same to the bit.
    """
    if model.device.type == "cpu":
        return _COMPACT_BATCH if model.config.architecture == "compact" else 1
    return _GPU_BATCH if model.network.can_step_together else 1


def _together(session: Session, frames: Iterable[_Item], batch_size: int) -> Iterator[_Item]:
    """Look at frames in groups, just before the first of a group has its turn."""
    waiting = iter(frames)
    while group := list(islice(waiting, batch_size)):
        looked = session.look_ahead([prepared for _, prepared, _ in group])
        for (frame, prepared, _), ahead in zip(group, looked, strict=True):
            yield frame, prepared, ahead


def _start(model: LoadedModel, options: RunOptions) -> Session:
    if options.resume_from is not None:
        return Session.restore(model, options.resume_from)
    return Session(model, use_ttt3r=options.use_ttt3r, reset_interval=options.reset_interval)


@contextmanager
def _threads_per_half(encodes_ahead: bool) -> Iterator[None]:
    """Give the encoder and the recurrence half of the cores each.

    The operators of ``compact`` are too small to gain from sharing every one of them among all cores.
    """
    threads = torch.get_num_threads()
    if encodes_ahead:
        torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
