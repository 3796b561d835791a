"""The stateless half of the network on the frames of a stream: people and tokens, alone or in groups within shots.

May run ahead of the recurrence, in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from human3r.errors import DeviceMemoryError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.models.parts import FULL_EFFORT, BatchRecord, Effort, FrameTokens, NetworkPrediction, RecurrentState
from human3r.records import Frame
from human3r.video.preprocess import PreparedImage


@dataclass(frozen=True)
class Ahead:
    """One frame that was encoded, and perhaps stepped, before its turn."""

    tokens: FrameTokens
    before: RecurrentState | None = None
    """State that the frame was stepped from; None where it was only encoded."""
    stepped: tuple[NetworkPrediction, RecurrentState] | None = None
    """Output of ``Human3R.step``. Valid if the stream's state is ``before`` when the frame's turn comes: a rejected
    frame or a reset invalidates it."""


@torch.inference_mode()
def detect(
    model: LoadedModel, frame: PreparedImage, previous: BatchRecord | None, effort: Effort = FULL_EFFORT
) -> BatchRecord:
    """Look for people in one frame; see ``Human3R.detect``.

    Raises:
        DeviceMemoryError: The device's memory is too small.
    """
    with within_device_memory(frame), model.policy.autocast():
        return model.network.detect(frame.image[None].to(model.device), previous, effort)


@torch.inference_mode()
def encode_one(model: LoadedModel, frame: PreparedImage, human: BatchRecord) -> Ahead:
    """Encode one frame in which ``detect`` has looked for people; raises what that does."""
    with within_device_memory(frame), model.policy.autocast():
        return Ahead(model.network.encode(frame.image[None].to(model.device), human))


@torch.inference_mode()
def encode(
    model: LoadedModel,
    frames: Sequence[PreparedImage],
    before: FrameTokens | None = None,
    last: FrameTokens | None = None,
) -> list[Ahead]:
    """Run the stateless half of the network on frames, together where they have one size.

    Args:
        model: The model.
        frames: Consecutive frames of one shot.
        before: The frame just before them, the last one of an earlier call; see ``Human3R.encode_each``.
        last: The last of them, where it was encoded alone before.

    Raises:
        DeviceMemoryError: The device's memory is too small.
    """
    if not have_one_size(frames):
        return [ahead for frame in frames for ahead in encode(model, [frame])]
    with within_device_memory(frames[0]), model.policy.autocast():
        images = torch.stack([frame.image for frame in frames]).to(model.device)
        if before is not None and before.image_size != tuple(images.shape[-2:]):
            before = None
        return [Ahead(tokens) for tokens in model.network.encode_each(images, before, last)]


Item = tuple[Frame, PreparedImage]
Look = Callable[[Sequence[PreparedImage], FrameTokens | None], list[Ahead]]
"""``encode`` of a model, or ``Recurrence.look_ahead``."""


def in_groups(items: Iterable[Item], group_size: int, look: Look) -> Iterator[tuple[Item, Ahead]]:
    """Encode the frames of a clip in groups within shots, just before the first of a group has its turn."""
    return _in_turn(
        ((group, None) for group in _groups(items, group_size)), lambda frames, before, _: look(frames, before)
    )


def begin_groups(
    model: LoadedModel, items: Iterable[Item], group_size: int
) -> Iterator[tuple[list[Item], FrameTokens]]:
    """Divide the frames of a clip into groups, and encode the last frame of each, which needs no other of the group.

    The first frame of a shot is a group of its own: it does not wait for three others.
    """
    before: BatchRecord | None = None
    for whole in _groups(items, group_size):
        previous = None if whole[0][0].begins_shot else before
        # Detected as if the first frame of a shot were in the group.
        parts = (whole[:1], whole[1:]) if previous is None and len(whole) > 1 else (whole,)
        for group in parts:
            tokens = encode_one(model, group[-1][1], detect(model, group[-1][1], previous)).tokens
            before = tokens.human
            yield group, tokens


def complete_groups(
    model: LoadedModel, begun: Iterable[tuple[list[Item], FrameTokens]]
) -> Iterator[tuple[Item, Ahead]]:
    """Encode the other frames of the groups of ``begin_groups``, in order."""
    return _in_turn(begun, partial(encode, model))


def _in_turn(
    begun: Iterable[tuple[list[Item], FrameTokens | None]],
    look: Callable[[list[PreparedImage], FrameTokens | None, FrameTokens | None], list[Ahead]],
) -> Iterator[tuple[Item, Ahead]]:
    before: FrameTokens | None = None
    for group, last in begun:
        ahead = look([prepared for _, prepared in group], None if group[0][0].begins_shot else before, last)
        before = ahead[-1].tokens
        yield from zip(group, ahead, strict=True)


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Divide the frames of a clip into groups within shots."""
    group: list[Item] = []
    for item in items:
        if group and item[0].begins_shot:
            yield group
            group = []
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def have_one_size(frames: Sequence[PreparedImage]) -> bool:
    """Return whether the network can take the frames together."""
    return len({(frame.source_size, frame.image.shape) for frame in frames}) == 1


@contextmanager
def within_device_memory(prepared: PreparedImage) -> Iterator[None]:
    """Raise ``DeviceMemoryError`` where the device's memory is too small for a frame."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"The device ran out of memory at a frame of {size_text(prepared.source_size)}.",
            "Use a smaller model, or --device cpu.",
        ) from error


def size_text(size: tuple[int, int] | None) -> str:
    """Return (height, width) as width x height."""
    return "unknown" if size is None else f"{size[1]} x {size[0]}"
