"""A resumable run on disk: everything that persists from frame to frame, as safetensors with JSON in the header.

Records are written field by field and rebuilt from a closed set of classes: those that the fields of
``SessionSnapshot`` and of the heads' states are annotated with. Nothing in a snapshot is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from human3r.atomic import write_bytes
from human3r.errors import FormatError
from human3r.inference.recurrence import SessionSnapshot
from human3r.results.store import StoreCheckpoint

_SCHEMA = "human3r-run/12"
_FILE_NAME = "snapshot.safetensors"


@dataclass(frozen=True)
class RunSnapshot:
    """A run between two frames."""

    identity: dict[str, object]
    """Clip, model and options: only a run with the same ones resumes."""
    session: SessionSnapshot
    store: StoreCheckpoint


def write_snapshot(folder: Path, snapshot: RunSnapshot) -> None:
    """Replace the folder's snapshot, whole or not at all.

    Raises:
        DiskFullError: No room; the previous snapshot is still there.
    """
    tensors: dict[str, Tensor] = {}
    tree = _flatten(snapshot.session, "session", tensors)
    tensors |= {f"scene/{name}": torch.from_numpy(np.array(values)) for name, values in snapshot.store.scene.items()}
    store = {name: value for name, value in vars(snapshot.store).items() if name != "scene"}
    header = {"schema": _SCHEMA, "identity": snapshot.identity, "session": tree, "store": store}
    write_bytes(folder / _FILE_NAME, save(tensors, {"run": json.dumps(header)}))


def read_snapshot(folder: Path, state_types: Iterable[type]) -> RunSnapshot | None:
    """Return the snapshot of a folder, on the CPU, or None where there is none.

    Args:
        folder: Of the run.
        state_types: Classes of the heads' states.

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
        session = _rebuild(header["session"], tensors, _record_types(SessionSnapshot, *state_types))
        assert isinstance(session, SessionSnapshot)
        scene = {name.removeprefix("scene/"): tensors[name].numpy() for name in tensors if name.startswith("scene/")}
        facts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in header["store"].items()
        }
        return RunSnapshot(header["identity"], session, StoreCheckpoint(**facts, scene=scene))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise FormatError(f"The snapshot is damaged ({error!r}).", "Delete the folder and start anew.") from error


def _record_types(*roots: type) -> dict[str, type]:
    """Return ``roots`` and the dataclasses that their fields are annotated with, at any depth, by name."""
    found: dict[str, type] = {}
    pending: list[Any] = list(roots)
    while pending:
        hint = pending.pop()
        pending += get_args(hint)
        if isinstance(hint, type) and is_dataclass(hint) and found.get(hint.__name__) is not hint:
            assert hint.__name__ not in found, f"two classes are named {hint.__name__}"
            found[hint.__name__] = hint
            pending += get_type_hints(hint).values()
    return found


def _flatten(value: object, path: str, tensors: dict[str, Tensor]) -> object:
    """Put every tensor of a record into ``tensors`` and return the rest as JSON values."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "record": type(value).__name__,
            "fields": {
                item.name: _flatten(getattr(value, item.name), f"{path}.{item.name}", tensors) for item in fields(value)
            },
        }
    if isinstance(value, tuple):
        return {"tuple": [_flatten(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]}
    assert value is None or isinstance(value, (bool, int, float, str)), f"{path} cannot be kept"
    return value


def _rebuild(node: Any, tensors: Mapping[str, Tensor], types: Mapping[str, type]) -> object:
    """Return what ``_flatten`` took apart."""
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "tuple" in node:
        return tuple(_rebuild(item, tensors, types) for item in node["tuple"])
    return types[node["record"]](**{name: _rebuild(value, tensors, types) for name, value in node["fields"].items()})
