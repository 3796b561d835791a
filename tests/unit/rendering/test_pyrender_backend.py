"""The optional GL renderer agrees with the built-in one where GL works, and steps aside where it does not."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from human3r.bodies import SmplxBody
from human3r.palette import person_color
from human3r.rendering import pyrender_backend
from human3r.rendering.overlay import people_of_frame, render_meshes
from human3r.results.reconstruction import Reconstruction


def test_without_gl_there_is_a_warning_and_no_layer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pyrender_backend.self_test.cache_clear()
    monkeypatch.setenv("PYOPENGL_PLATFORM", "nonsense")
    with caplog.at_level(logging.WARNING):
        assert pyrender_backend.open_pyrender_layer() is None
    pyrender_backend.self_test.cache_clear()
    assert "built-in renderer" in caplog.text


def test_both_renderers_cover_the_same_pixels(walk: Reconstruction, small_body: SmplxBody) -> None:
    layer = pyrender_backend.open_pyrender_layer()
    if layer is None:
        pytest.skip(f"no GL here: {pyrender_backend.self_test()}")
    people = people_of_frame(walk, 6, small_body)
    colors = np.array([person_color(int(track)) for track in people.track_id]) / 255
    arguments = (people.vertices_camera, small_body.faces.numpy(), colors, walk.K[6], (240, 320))
    (_, ours), (_, gl) = render_meshes(*arguments), layer(*arguments)
    # GL counts a pixel that any of its samples touches; on limbs a few pixels thick that rim is a few per cent.
    assert (ours & gl).sum() / (ours | gl).sum() > 0.95
