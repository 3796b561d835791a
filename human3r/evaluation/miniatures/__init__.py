"""Miniatures of the public benchmarks: a few generated frames in their folder layout, without download or license.

They exercise a command and its report; their figures do not measure a model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from human3r.evaluation.miniatures.body_files import write_body_files
from human3r.evaluation.miniatures.people_sets import write_3dpw, write_bedlam, write_emdb, write_rich
from human3r.evaluation.miniatures.scene_sets import (
    write_bonn,
    write_kitti,
    write_scannet,
    write_sintel,
    write_tum_original,
    write_tum_prepared,
)

PEOPLE_MINIATURES: dict[str, Callable[[Path], None]] = {
    "3dpw": write_3dpw,
    "emdb1": write_emdb,
    "emdb2": write_emdb,
    "rich": write_rich,
    "bedlam": write_bedlam,
}
"""Miniatures that also need body files."""

MINIATURES: dict[str, Callable[[Path], None]] = {
    **PEOPLE_MINIATURES,
    "sintel-depth": write_sintel,
    "bonn": write_bonn,
    "kitti": write_kitti,
    "tum-depth": write_tum_prepared,
    "sintel-pose": write_sintel,
    "tum-pose": write_tum_original,
    "scannet": write_scannet,
}
"""Writers by the benchmark's name."""

__all__ = ["MINIATURES", "PEOPLE_MINIATURES", "write_body_files"]
