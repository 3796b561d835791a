"""From rows of a ``Reconstruction`` to the parameters and meshes of its people.

Encapsulates the layout of the person table for exporters, overlays and viewers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.records import BodyParameters
from human3r.results.person_table import PARAMETER_NAMES, PersonTable

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction


def rows_of_frame(reconstruction: Reconstruction, frame: int) -> np.ndarray:
    """Return the person-table rows (``P`` int64) of processed frame ``frame``, in table order."""
    return np.flatnonzero(reconstruction.person_frame == frame)


def parameters_of_rows(people: Reconstruction | PersonTable, rows: np.ndarray | None = None) -> BodyParameters:
    """Return the SMPL-X parameters of ``rows``, or of all, in world, as float32 CPU tensors."""
    chosen = slice(None) if rows is None else rows
    return BodyParameters(**{name: torch.from_numpy(getattr(people, name)[chosen]) for name in PARAMETER_NAMES})


@torch.inference_mode()
def posed_vertices(reconstruction: Reconstruction, body: SmplxBody, rows: np.ndarray) -> np.ndarray:
    """Return the meshes of ``rows``: ``P V 3`` float32, world, meters."""
    if len(rows) == 0:
        return np.zeros((0, len(body.template), 3), dtype=np.float32)
    return body(parameters_of_rows(reconstruction, rows)).vertices.cpu().numpy()
