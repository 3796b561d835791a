"""One colour per identity, the same in the viewer, the overlays and every exported file.

Twelve hues that stay apart for colour-blind viewers and on both light and dark backgrounds; identities beyond twelve
reuse them in order.
"""

from __future__ import annotations

_COLORS_RGB: tuple[tuple[int, int, int], ...] = (
    (66, 135, 245),
    (245, 140, 50),
    (52, 181, 128),
    (214, 72, 92),
    (148, 103, 220),
    (238, 194, 60),
    (40, 178, 200),
    (226, 110, 180),
    (140, 180, 64),
    (176, 118, 82),
    (104, 122, 200),
    (120, 200, 176),
)


def person_color(track_id: int) -> tuple[int, int, int]:
    """Return the sRGB colour (0 to 255) of one identity."""
    return _COLORS_RGB[track_id % len(_COLORS_RGB)]
