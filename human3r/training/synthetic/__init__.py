"""Rendered clips with exact truth: rooms, streets and people of our own, from permissive assets.

Readers need :mod:`human3r.training.synthetic.clip` only; the renderer needs the training-only dependency numba.
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
