"""A run on the disk: everything that goes on from frame to frame, as safetensors with JSON in the header.

Records are written field by field and rebuilt from a list of known classes; nothing in a snapshot is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from human3r.atomic import write_bytes
from human3r.errors import FormatError
from human3r.inference.causal_filter import CausalFilterOptions, CausalFilterState
from human3r.inference.profile import SessionOptions
from human3r.inference.recurrence import SessionSnapshot
from human3r.models.compact.camera.anchor import FrameView
from human3r.models.compact.camera.camera_head import CameraState
from human3r.models.compact.camera.depth_posterior import DepthPosterior
from human3r.models.compact.camera.focal_posterior import FocalPosterior
from human3r.models.compact.camera.motion import Surface
from human3r.models.compact.scene.lens_head import LensState
from human3r.models.compact.scene.scale_head import ScaleState
from human3r.models.parts import RecurrentState
from human3r.records import Camera
from human3r.tracking.motion import MotionOptions, TrackMotion
from human3r.tracking.tracks import TrackBank

_SCHEMA = "human3r-run/4"
_FILE_NAME = "snapshot.safetensors"
_CLASSES = {
    kind.__name__: kind
    for kind in (
        Camera, CameraState, CausalFilterOptions, CausalFilterState, DepthPosterior, FocalPosterior, FrameView,
        LensState, MotionOptions, RecurrentState, ScaleState, SessionOptions, SessionSnapshot, Surface, TrackBank,
        TrackMotion,
    )
}  # fmt: skip


@dataclass(frozen=True)
class RunSnapshot:
    """A run between two frames."""

    identity: dict[str, object]
    """What was run: a snapshot is only taken up by a run that says the same."""
    session: SessionSnapshot
    store_arrays: dict[str, np.ndarray]
    """See ``ResultStore.checkpoint``."""
    store_facts: dict[str, object]


def write_snapshot(folder: Path, snapshot: RunSnapshot) -> None:
    """Replace the folder's snapshot, whole or not at all.

    Raises:
        DiskFullError: No room; the previous snapshot is still there.
    """
    tensors: dict[str, Tensor] = {}
    tree = _flatten(snapshot.session, "session", tensors)
    tensors |= {f"store/{name}": torch.from_numpy(np.array(values)) for name, values in snapshot.store_arrays.items()}
    header = {
        "schema": _SCHEMA,
        "identity": snapshot.identity,
        "session": tree,
        "store": snapshot.store_facts,
    }
    write_bytes(folder / _FILE_NAME, save(tensors, {"run": json.dumps(header)}))


def read_snapshot(folder: Path) -> RunSnapshot | None:
    """Return the snapshot of a folder, on the CPU, or None where there is none.

    Raises:
        FormatError: The file is damaged or of another version.
    """
    path = folder / _FILE_NAME
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if header["schema"] != _SCHEMA:
            raise FormatError(f"The snapshot is of version {header['schema']!r}, not {_SCHEMA!r}.", "Start anew.")
        session = _rebuild(header["session"], tensors)
        assert isinstance(session, SessionSnapshot)
        return RunSnapshot(
            identity=header["identity"],
            session=session,
            store_arrays={
                name.removeprefix("store/"): values.numpy()
                for name, values in tensors.items()
                if name.startswith("store/")
            },
            store_facts=header["store"],
        )
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise FormatError(f"The snapshot is damaged ({error!r}).", "Delete the folder and start anew.") from error


def _flatten(value: object, path: str, tensors: dict[str, Tensor]) -> object:
    """Put every tensor of a record into ``tensors`` and return the rest as JSON values."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        assert name in _CLASSES, f"{name} is not known to snapshots"
        return {
            "record": name,
            "fields": {
                item.name: _flatten(getattr(value, item.name), f"{path}.{item.name}", tensors) for item in fields(value)
            },
        }
    if isinstance(value, tuple):
        return {"tuple": [_flatten(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]}
    assert value is None or isinstance(value, (bool, int, float, str)), f"{path} cannot be kept"
    return value


def _rebuild(node: object, tensors: Mapping[str, Tensor]) -> object:
    """Return what ``_flatten`` took apart."""
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "tuple" in node:
        return tuple(_rebuild(item, tensors) for item in node["tuple"])
    kind = _CLASSES[node["record"]]
    return kind(**{name: _rebuild(value, tensors) for name, value in node["fields"].items()})
