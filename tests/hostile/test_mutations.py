"""A sample of the damaged clips and images of ``mutations.py``, which is run by hand with hundreds of them."""

from __future__ import annotations

from pathlib import Path

from mutations import inputs, read


def test_damaged_clips_and_images_give_frames_or_a_typed_error(tmp_path: Path) -> None:
    readings = []
    for name, content in inputs(25):
        (tmp_path / name).write_bytes(content)
        readings.append(read(tmp_path / name))
    assert {reading.outcome for reading in readings} <= {
        *("frames", "MediaDecodeError!", "UnsupportedMediaError!", "MediaTooLargeError!")
    }
    assert any(reading.outcome == "frames" for reading in readings)
    assert any(reading.outcome != "frames" for reading in readings)
