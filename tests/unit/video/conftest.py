"""Clips for the tests of the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_clips import write_clip


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "clip.mp4", **options: object) -> Path:
        return write_clip(tmp_path / name, **options)

    return make
