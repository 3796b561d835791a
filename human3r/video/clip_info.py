"""Facts about a clip before it is run: ``ClipInfo``, measured in the decoder process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ClipInfo:
    """Facts about a clip, measured from its packets and first frame rather than taken from its header."""

    kind: str
    """``video`` (animations too), ``images`` (folder or zip) or ``image`` (a clip of one frame)."""
    codec: str
    """Codec or image format name."""
    image_size: tuple[int, int]
    """(height, width) of the upright picture with square pixels."""
    fps: float
    """Average frames per second; image folders have none and count as 30."""
    duration_s: float
    """From the first frame's time to the end of the last frame, seconds."""
    num_frames: int
    """Frames of the file that can be shown."""
    num_selected: int
    """Frames that the requested sampling will deliver."""
    rotation_deg: int = 0
    """Clockwise rotation that the decoder applies, degrees."""
    is_mirrored: bool = False
    """Whether the decoder also mirrors."""
    is_vfr: bool = False
    """Frame intervals differ by more than a fifth."""
    is_hdr: bool = False
    """PQ or HLG transfer: colors are mapped to the standard range."""
    bit_depth: int = 8
    """Bits per color channel in the file."""
    has_audio: bool = False
    """Whether there is a sound track, which is ignored."""
    warnings: tuple[str, ...] = ()
    """Messages for the user."""

    def to_dict(self) -> dict[str, object]:
        """Return the facts as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipInfo:
        """Read what ``to_dict`` wrote."""
        height, width = values["image_size"]
        warnings = tuple(str(text) for text in values.get("warnings", ()))
        facts: dict[str, Any] = {**values, "image_size": (int(height), int(width)), "warnings": warnings}
        return cls(**facts)
