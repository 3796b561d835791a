"""Overlays: people drawn over their frames, off-screen."""

from __future__ import annotations

from human3r.rendering.overlay import (
    OverlayPeople,
    OverlayStyle,
    draw_people,
    draw_prediction,
    draw_preview,
    people_of_frame,
)
from human3r.rendering.overlay_video import write_overlay_video

__all__ = [
    "OverlayPeople",
    "OverlayStyle",
    "draw_people",
    "draw_prediction",
    "draw_preview",
    "people_of_frame",
    "write_overlay_video",
]
