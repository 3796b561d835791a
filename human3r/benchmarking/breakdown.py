"""Processor time of a run by part, frame by frame without overlap.

Parts are timed by wrapping the methods of one session and its network while it runs; nested parts count once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch

from human3r.benchmarking.measuring import device_clock
from human3r.inference.encoding import encode, in_groups
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.session import Session
from human3r.models.compact.people.prompter import KeypointPrompter
from human3r.models.human3r import Human3R
from human3r.refinement.finishing import finish
from human3r.results.store import ResultStore
from human3r.temporary import temporary_folder
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

DECODE, PREPARE, FUSION, WRITING = "decode", "prepare", "fusion", "writing"
_REST, _STREAM, _LOOKS = "rest of the network", "stream", "second looks"
_MODULES = {
    "human_prior": "prior",
    "image_encoder": "trunk",
    "prompter": "prompts",
    "decoder": "decoder",
    "point_head": "point head",
    "mask_head": "mask head",
    "camera_head": "camera head",
    "person_head": "person head",
    "lens_head": "lens head",
    "scale_head": "scale head",
    "extra_head": "extra heads",
}
"""Attribute of the network -> name of the part. ``stream``: identities, filter, bodies in the world."""


class PartClock:
    """Sums seconds by part; a nested call interrupts the part around it.

    Args:
        device: Device of the network. On a GPU elapsed time is measured, and every part waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Attribute the time inside the block to a part."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def _switch(self) -> None:
        now = device_clock(self._device)
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def wrapped(self, owner: object, method: str, name: str) -> Iterator[None]:
        """Attribute every call of a method of one object to a part."""
        plain: Callable[..., object] = getattr(owner, method)

        def timed(*arguments: object, **options: object) -> object:
            with self.part(name):
                return plain(*arguments, **options)

        # Set on the object itself, so that other objects of its class are not affected.
        attributes, was_own = vars(owner), method in vars(owner)
        attributes[method] = timed
        try:
            yield
        finally:
            if was_own:
                attributes[method] = plain
            else:
                del attributes[method]


def measure_parts(model: LoadedModel, clip: Path, num_frames: int, num_warmup: int) -> dict[str, float]:
    """Return seconds per frame by part, from the file to ``reconstruction.npz``.

    Processor time of all threads; on a GPU elapsed time for the network. ``decode`` is the decoder process without
    its start, ``writing`` is finishing and saving, divided by the frames.

    Args:
        clip: A clip of at least ``num_frames`` frames.
        num_warmup: Number of first frames that are not counted.
    """
    with FrameReader(clip, Sampling(max_frames=num_frames)) as reader:
        frames = list(reader)
        decode_seconds = reader.processor_s / max(1, len(frames))
    session, clock = Session(model), PartClock(model.device)
    store = ResultStore(with_views=model.profile.finishing.agreeing_views)
    # Encoded in groups, as a run does it.
    size = model.profile.cpu_batch_size if model.device.type == "cpu" else 1
    with ExitStack() as stack:
        stack.callback(store.close)
        folder = stack.enter_context(temporary_folder())
        for owner, method, name in _watched(session, model.network):
            stack.enter_context(clock.wrapped(owner, method, name))
        for start in (0, num_warmup):
            clock.seconds.clear()
            stop = num_warmup if start == 0 else len(frames)
            with clock.part(PREPARE):
                items = [(frame, session.prepare(frame.image)) for frame in frames[start:stop]]
            encoded = in_groups(items, size, partial(encode, model))
            for _ in items:
                with clock.part(_STREAM):
                    (frame, prepared), ahead = next(encoded)
                    prediction = session.step_prepared(prepared, frame.time_s, frame.frame_index, ahead)
                with clock.part(FUSION):
                    store.add(prediction)
        num_timed = max(1, len(frames) - num_warmup)
        seconds = {name: value / num_timed for name, value in clock.seconds.items()}
        started = time.process_time()
        finish(store, 30.0, {}, model.profile.finishing, model.body).save(folder / "reconstruction.npz")
        seconds[WRITING] = (time.process_time() - started) / len(frames)
    return _ordered({DECODE: decode_seconds, **seconds})


def _watched(session: Session, network: Human3R) -> list[tuple[object, str, str]]:
    """Return (object, method, part) of everything that is timed."""
    watched: list[tuple[object, str, str]] = [(network, "encode", _REST), (network, "step", _REST)]
    for attribute, name in _MODULES.items():
        part = getattr(network, attribute)
        if part is not None:
            watched.append((part, "forward", name))
    # Methods other than forward: the memory is used twice, and the look-ahead asks the head for one frame's mask.
    watched += [(network.memory, method, "memory") for method in ("read", "write")]
    if hasattr(network.mask_head, "mask_of"):
        watched.append((network.mask_head, "mask_of", "mask head"))
    if network.look_ahead is not None:
        watched += [(network.look_ahead, method, "prompts") for method in ("detect", "encode_between")]
    if isinstance(network.prompter, KeypointPrompter):
        watched.append((network.prompter.crop_detector, "forward", _LOOKS))
    return watched


def _ordered(seconds: dict[str, float]) -> dict[str, float]:
    """Sort the parts in the order of processing."""
    order = [DECODE, PREPARE, "prior", "trunk", "prompts", _LOOKS, "decoder", "memory"]
    order += [name for name in _MODULES.values() if name not in order] + [_REST, _STREAM, FUSION, WRITING]
    return {name: seconds[name] for name in order if name in seconds}
