"""The forward pass of one run as a stream of events: decode ahead, step, hand on.

What the events become (files, viewers, progress) is ``pipeline``'s business. All of them are plain records, so that the
forward pass may also run in another process, such as one that has the GPU for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from human3r.models.parts import FrameTokens
from human3r.records import Frame, FramePrediction
from human3r.runtime.loading import LoadedModel
from human3r.runtime.prefetch import Prefetcher
from human3r.runtime.session import Session, SessionOptions, SessionSnapshot
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

    def prepare(frame: Frame) -> tuple[Frame, PreparedImage, FrameTokens | None]:
        prepared = session.prepare(frame.image)
        return frame, prepared, session.encode(prepared) if encodes_ahead else None

    def step(item: tuple[Frame, PreparedImage, FrameTokens | None]) -> Stepped:
        frame, prepared, tokens = item
        prediction = session.step_prepared(prepared, frame.time_s, frame.frame_index, tokens)
        is_due = options.snapshot_every and session.num_frames % options.snapshot_every == 0
        return Stepped(prediction, session.num_rejected, session.snapshot() if is_due else None)

    with FrameReader(clip, options.sampling, options.limits) as reader:
        yield Opened(reader.info, session.options)
        # What is stateless runs ahead of the recurrence by a few frames.
        with _threads_per_half(encodes_ahead), Prefetcher(islice(reader, num_done, None), prepare) as frames:
            if encodes_ahead:
                # And the recurrence ahead of whoever takes the predictions, who stores and shows them meanwhile.
                with Prefetcher(frames, step, depth=1) as stepped:
                    yield from stepped
            else:
                yield from map(step, frames)
        yield Ended(tuple(reader.warnings))


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
