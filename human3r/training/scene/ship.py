"""Write the averaged weights of a checkpoint as the package's ``scene`` part."""

from __future__ import annotations

from pathlib import Path

import torch

from human3r.assets.shards import write_part

_METADATA = {"source": "trained by this project on its own renders", "license": "Apache-2.0"}


def ship_scene_weights(checkpoint: Path, folder: Path) -> list[Path]:
    """Write every trained parameter as fp16; returns the files."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return write_part(folder, "scene", state["average"], _METADATA)
