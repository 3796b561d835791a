"""The forward pass on a GPU that is lent for a while: Hugging Face's ZeroGPU, through the package ``spaces``.

There, a decorated generator runs in a forked process that has the GPU; what it yields is pickled. So only the forward
pass goes there, and predictions travel as numpy arrays; decoding limits, viewers and files stay in the main process.
Without the package, or elsewhere than on ZeroGPU, everything here stands aside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

import human3r
from demo.engine import frames_to_use
from human3r import errors
from human3r.errors import Human3RError, InputError, ResourceError
from human3r.inference.loaded_model import LoadedModel
from human3r.inference.recurrence import SessionSnapshot
from human3r.inference.stream import Event, Opened, ReconstructOptions, forward

_SECONDS_AT_START = 15
"""Until the worker has its GPU and the weights are on it."""
_SECONDS_PER_FRAME = 0.15
"""Generous: three times what the largest network needs on such a GPU by its authors' figure (15 frames per second)."""
_MAX_SECONDS = 120
"""What an ordinary visitor can get in one piece."""
_KINDS = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Human3RError)
}

Failure = tuple[str, str, str]
"""(code, message, remedy) of an error that has to cross a process border."""


def find_spaces(environment: Mapping[str, str] = os.environ) -> ModuleType | None:
    """Return the package ``spaces`` where it lends GPUs, else None."""
    if environment.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    try:
        import spaces
    except ImportError:
        return None
    return spaces


def lent_seconds(clip: str, options: ReconstructOptions, frames: int) -> int:
    """Return for how long a run asks for the GPU; the arguments are those of the forward pass."""
    return min(_MAX_SECONDS, round(_SECONDS_AT_START + frames * _SECONDS_PER_FRAME))


class LentForward:
    """A ``Forward`` that runs where ``spaces`` lends a GPU. Make it before the page is launched.

    Args:
        spaces: The package.
        model: Already on the device; the forked worker inherits it.
    """

    def __init__(self, spaces: ModuleType, model: LoadedModel) -> None:
        def on_gpu(clip: str, options: ReconstructOptions, frames: int) -> Generator[Event | Failure, None, None]:
            # The parent's pool of OpenMP threads does not survive the fork: a parallel region would wait for ever.
            torch.set_num_threads(1)
            try:
                for event in forward(Path(clip), model, options):
                    yield to_arrays(event)
            except Human3RError as error:  # any other class would lose its sentence on the way
                yield error.code, error.message, error.remedy

        self._task: Callable[..., Generator[Event | Failure, None, None]] = spaces.GPU(duration=lent_seconds)(on_gpu)

    def __call__(
        self, clip: Path, model: LoadedModel, options: ReconstructOptions, resume_from: SessionSnapshot | None = None
    ) -> Generator[Event, None, None]:
        """Yield the events of a run; see ``human3r.inference.stream``.

        Raises:
            InputError: The clip or an option cannot be used; found out before a GPU is asked for where possible.
            ResourceError: There is no GPU now.
        """
        frames = frames_to_use(human3r.probe(clip, options.limits), options.sampling)
        task = self._task(str(clip), options, frames)
        try:
            for event in task:
                if isinstance(event, tuple):
                    raise _error_from(event)
                yield to_tensors(event)
        except Human3RError:
            raise
        except Exception as error:
            if type(error).__module__.split(".")[0] != "gradio":
                raise
            sentence = re.sub(r"<[^>]*>", "", str(getattr(error, "message", error))).strip().rstrip(".")
            raise ResourceError(f"There is no GPU for this run now: {sentence}.", "Try again in a minute.") from error
        finally:
            task.close()


def to_arrays(event: Event) -> Event:
    """Return the event with numpy arrays in place of tensors: they pickle without shared memory or a device."""
    return _with_leaves(event, Tensor, lambda tensor: tensor.detach().cpu().numpy())


def to_tensors(event: Event) -> Event:
    """Undo ``to_arrays``."""
    return event if isinstance(event, Opened) else _with_leaves(event, np.ndarray, torch.from_numpy)


def _with_leaves(record: Event, kind: type, change: Callable) -> Event:
    changed = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, kind):
            changed[field.name] = change(value)
        elif is_dataclass(value):
            changed[field.name] = _with_leaves(value, kind, change)
    return replace(record, **changed)


def _error_from(failure: Failure) -> Human3RError:
    code, message, remedy = failure
    return _KINDS.get(code, InputError)(message, remedy)
