"""HDR clips have the colors of ordinary ones."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from human3r.video.reader import FrameReader

TOLERANCE = 3
"""Levels: 10-bit codes pass through 8 bits."""


def write_hdr(path: Path, transfer: str, codes: list[tuple[float, float, float]], matrix: str = "bt2020nc") -> Path:
    """Write three frames of stripes with R'G'B' ``codes`` in [0, 1], BT.2020."""
    red, green, blue = np.repeat(np.array(codes).T, 64, axis=1)
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    rows = [64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746]
    planes = np.stack([np.tile(row.round().astype(np.uint16), (64, 1)) for row in rows])
    colors = f"transfer={transfer}:colorprim=bt2020:colormatrix={matrix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0", "x264-params": colors})
        stream.height, stream.width = planes.shape[1:]
        stream.pix_fmt = "yuv444p10le"
        for _ in range(3):
            frame = av.VideoFrame(planes.shape[2], planes.shape[1], "yuv444p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                plane.update(values.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# Codes of reference white, of a gray card of 18 % (ITU-R BT.2408, table 1) and of the red of BT.709 as bright as that
# white allows: (127, 14, 3.3) cd/m².
@pytest.mark.parametrize(
    ("transfer", "white", "gray", "red"),
    [
        ("smpte2084", 0.58, 0.38, (0.529, 0.326, 0.221)),
        ("arib-std-b67", 0.75, 0.38, (0.708, 0.266, 0.129)),
    ],
)
def test_an_hdr_clip_is_neither_dark_nor_gray(tmp_path, transfer, white, gray, red):
    clip = write_hdr(tmp_path / "hdr.mkv", transfer, [(white,) * 3, (gray,) * 3, (0.0,) * 3, red])
    with FrameReader(clip) as reader:
        image = next(iter(reader)).image.astype(int)
    assert reader.info.is_hdr
    shown = [image[32, 64 * stripe + 32] for stripe in range(4)]
    for color, level in zip(shown, (244, 108, 0), strict=False):
        assert np.abs(color - level).max() < TOLERANCE
    assert shown[3][0] > 200
    assert shown[3][1:].max() < 70


def test_an_hdr_clip_that_does_not_name_its_color_matrix_has_the_same_colors(tmp_path):
    codes = [(0.3, 0.5, 0.7), (0.7, 0.4, 0.3)]
    named = write_hdr(tmp_path / "named.mkv", "arib-std-b67", codes)
    unnamed = write_hdr(tmp_path / "unnamed.mkv", "arib-std-b67", codes, matrix="undef")
    with FrameReader(named) as one, FrameReader(unnamed) as other:
        np.testing.assert_array_equal(next(iter(one)).image, next(iter(other)).image)
