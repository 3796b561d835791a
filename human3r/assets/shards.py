"""Weights that ship inside the package: one folder of fp16 safetensors files with an index.

``index.json`` holds the sha256 and the parameter names of each file. A file is one part of a network (its parameters
share a prefix), so that retraining a part changes that file alone. Nothing here knows what the parameters mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from human3r.atomic import write_bytes
from human3r.errors import AssetIntegrityError, AssetMissingError

COMPACT_FOLDER = Path(__file__).parent / "compact"
"""Folder of the weights of ``compact``."""
MAX_SHARD_BYTES = 10_000_000
"""Limit on the size of files in the repository."""
_INDEX = "index.json"


def read_shards(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """Read the parameters whose names start with ``prefix``, fp16, after checking the files that hold them.

    Raises:
        AssetMissingError: The index or a listed file is missing.
        AssetIntegrityError: A file does not match the index.
    """
    tensors: dict[str, Tensor] = {}
    for file_name, entry in _read_index(folder)["files"].items():
        names = [name for name in entry["parameters"] if name.startswith(prefix)]
        if not names:
            continue
        path = folder / file_name
        if not path.is_file():
            raise AssetMissingError(f"The weight file {file_name} is missing.", "Restore the package's files.")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != entry["sha256"]:
            raise AssetIntegrityError(f"{file_name} has sha256 {found}, expected {entry['sha256']}.")
        try:
            with safe_open(path, "pt") as file:
                tensors |= {name: file.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise AssetIntegrityError(f"{file_name} cannot be read ({error}).") from error
    return tensors


def read_module(prefix: str) -> dict[str, Tensor]:
    """Return one module's parameters of ``compact`` by their names inside the module, fp32."""
    return {name.removeprefix(prefix): values.float() for name, values in read_shards(COMPACT_FOLDER, prefix).items()}


def write_part(folder: Path, part: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> list[Path]:
    """Write one part's parameters as fp16, split into files of at most ``MAX_SHARD_BYTES``, and update the index.

    Args:
        folder: Folder of the index, created if necessary.
        part: File name without suffix; older files of the part are replaced.
        tensors: Full parameter names to values; floating point only.
        metadata: For the header of every file (source, license).

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = _read_index(folder) if (folder / _INDEX).is_file() else {"files": {}}
    stale = [name for name in index["files"] if name.rsplit("-", 1)[0] == part or name == f"{part}.safetensors"]
    groups = _split({name: _stored(values) for name, values in tensors.items()})
    paths = []
    for name in stale:
        del index["files"][name]
    for number, group in enumerate(groups):
        name = f"{part}.safetensors" if len(groups) == 1 else f"{part}-{number + 1}.safetensors"
        index["files"][name] = _write_file(folder / name, group, metadata)
        paths.append(folder / name)
    _write_index(folder, index)
    for name in set(stale) - index["files"].keys():
        (folder / name).unlink(missing_ok=True)
    return paths


def replace_parameters(folder: Path, changed: Mapping[str, Tensor]) -> list[Path]:
    """Rewrite the files that hold the given parameters, whose shapes stay, and return them."""
    index, paths = _read_index(folder), []
    for file_name, entry in index["files"].items():
        new = {name: _stored(changed[name]) for name in entry["parameters"] if name in changed}
        if not new:
            continue
        path = folder / file_name
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in entry["parameters"]}
        index["files"][file_name] = _write_file(path, tensors | new, metadata)
        paths.append(path)
    _write_index(folder, index)
    return paths


def _stored(values: Tensor) -> Tensor:
    return values.detach().to(torch.float16).contiguous()


def _write_file(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Any]:
    """Write one file and return its entry in the index."""
    content = save(tensors, metadata)
    write_bytes(path, content)
    return {"sha256": hashlib.sha256(content).hexdigest(), "parameters": sorted(tensors)}


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    write_bytes(folder / _INDEX, json.dumps(index, indent=1, sort_keys=True).encode())


def _split(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    groups: list[dict[str, Tensor]] = [{}]
    # Leave space for the header, which lists every tensor.
    limit, size = MAX_SHARD_BYTES - 100_000, 0
    for name, values in tensors.items():
        if groups[-1] and size + values.nbytes > limit:
            groups.append({})
            size = 0
        groups[-1][name] = values
        size += values.nbytes
    return groups


def _read_index(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads((folder / _INDEX).read_text())
    except FileNotFoundError as error:
        raise AssetMissingError(f"No weights in {folder.name}: {_INDEX} is missing.") from error
    except json.JSONDecodeError as error:
        raise AssetIntegrityError(f"The weight index of {folder.name} is not JSON.") from error
