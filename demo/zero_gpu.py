"""The forward pass on a GPU that is lent for a while: Hugging Face's ZeroGPU, through the package ``spaces``.

There, a decorated generator runs in a forked process that has the GPU, and what it yields is pickled. Only the forward
pass runs there, and predictions travel as numpy arrays; viewers and files stay in the main process. Without the
package, or elsewhere than on ZeroGPU, this module is not used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

import human3r

if TYPE_CHECKING:
    from human3r import ForwardEvent, LoadedModel, ReconstructOptions, SessionSnapshot

_STARTUP_S = 15
"""Time until the worker has its GPU and the weights are on it."""
_FRAME_S = 0.15
"""Three times what the largest network needs on such a GPU by its authors' figure (15 frames per second)."""
_MAX_S = 120
"""Limit of one allocation for an ordinary visitor."""

Failure = tuple[str, str, str]
"""(code, message, remedy) of an error that crosses the process border."""


@dataclass(frozen=True)
class Packed:
    """A record on its way across the process border."""

    kind: type
    fields: dict[str, object]


def find_spaces(environment: Mapping[str, str] = os.environ) -> ModuleType | None:
    """Return the package ``spaces`` where it lends GPUs, else None."""
    if environment.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    try:
        import spaces  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    return spaces


def requested_seconds(clip: str, options: ReconstructOptions, frames: int) -> int:
    """Return the GPU time that a run requests; the arguments are those of the forward pass."""
    return min(_MAX_S, round(_STARTUP_S + frames * _FRAME_S))


class ZeroGpuForward:
    """A forward pass for ``human3r.reconstruct`` that runs on a lent GPU. Create it before the page is launched.

    Args:
        spaces: The package.
        model: Already on the device; the forked worker inherits it.
    """

    def __init__(self, spaces: ModuleType, model: LoadedModel) -> None:
        def on_gpu(clip: str, options: ReconstructOptions, frames: int) -> Generator[object]:
            # OpenMP's threads do not survive the fork: a parallel region would wait for them forever.
            torch.set_num_threads(1)
            try:
                for event in human3r.forward(Path(clip), model, options, None):
                    # Source frames stay behind: pickling them would take longer than the network.
                    yield pack(replace(event, source=None) if hasattr(event, "source") else event)
            except human3r.Human3RError as error:  # spaces keeps the class name of other errors only
                yield error.code, error.message, error.remedy

        self._task: Callable[..., Generator[object]]
        self._task = spaces.GPU(duration=requested_seconds)(on_gpu)

    def __call__(
        self, clip: Path, model: LoadedModel, options: ReconstructOptions, resume_from: SessionSnapshot | None = None
    ) -> Generator[ForwardEvent]:
        """Yield the events of a run, as ``human3r.forward`` does. The clip is probed before a GPU is requested.

        Raises:
            InputError: The clip or an option cannot be used.
            ResourceError: No GPU is available.
        """
        frames = options.sampling.estimated_frames(human3r.probe(clip, options.limits))
        task = self._task(str(clip), options, frames)
        try:
            for event in task:
                if isinstance(event, tuple):
                    raise human3r.error_from(*cast("Failure", event))
                yield cast("ForwardEvent", unpack(event))
        except human3r.Human3RError:
            raise
        except Exception as error:
            if type(error).__module__.split(".")[0] != "gradio":
                raise
            sentence = re.sub(r"<[^>]*>", "", str(getattr(error, "message", error))).strip().rstrip(".")
            message = f"There is no GPU for this run now: {sentence}."
            raise human3r.ResourceError(message, "Try again in a minute.") from error
        finally:
            task.close()


def pack(value: object) -> object:
    """Return a record as its class and fields, with numpy arrays in place of tensors.

    Arrays pickle without shared memory or a device; records themselves accept tensors only.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if is_dataclass(value) and not isinstance(value, type):
        return Packed(type(value), {field.name: pack(getattr(value, field.name)) for field in fields(value)})
    return value


def unpack(value: object) -> object:
    """Undo ``pack``."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Packed):
        return value.kind(**{name: unpack(item) for name, item in value.fields.items()})
    return value
