"""From rows of a ``Reconstruction`` to the parameters and meshes of its people.

The one place that knows how the person table is laid out; exporters, overlays and viewers ask here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.records import BodyParameters

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction


def rows_of_frame(reconstruction: Reconstruction, frame: int) -> np.ndarray:
    """Return the person-table rows (``P`` int64) of processed frame ``frame``, in table order."""
    return np.flatnonzero(reconstruction.person_frame == frame)


def parameters_of_rows(reconstruction: Reconstruction, rows: np.ndarray) -> BodyParameters:
    """Return the SMPL-X parameters of ``rows`` in world, as float32 CPU tensors."""
    return BodyParameters(
        **{item.name: torch.from_numpy(getattr(reconstruction, item.name)[rows]) for item in fields(BodyParameters)}
    )


@torch.inference_mode()
def posed_vertices(reconstruction: Reconstruction, body: SmplxBody, rows: np.ndarray) -> np.ndarray:
    """Return the meshes of ``rows``: ``P V 3`` float32, world, metres."""
    if len(rows) == 0:
        return np.zeros((0, len(body.template), 3), dtype=np.float32)
    return body(parameters_of_rows(reconstruction, rows)).vertices.cpu().numpy()
