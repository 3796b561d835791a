"""Rendered clips with exact ground truth: rooms, streets and people from permissively licensed assets.

Reading clips needs :mod:`human3r.training.synthetic.clip` only; rendering needs the training-only dependency numba.
"""

from __future__ import annotations

from human3r.training.synthetic.clip import (
    ClipPeople,
    SyntheticClip,
    clip_folders,
    read_clip,
    rebase_clip,
    write_clip,
)

__all__ = ["ClipPeople", "SyntheticClip", "clip_folders", "read_clip", "rebase_clip", "write_clip"]
