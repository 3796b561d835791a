"""The optional GL renderer agrees with the built-in one where GL works, and steps aside where it does not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from human3r.bodies import SmplxBody
from human3r.palette import person_color
from human3r.rendering import pyrender_backend
from human3r.rendering.overlay import people_of_frame, render_meshes
from human3r.results.reconstruction import Reconstruction


@pytest.fixture(autouse=True)
def new_trial() -> Iterator[None]:
    """Every test tries GL anew."""
    pyrender_backend.self_test.cache_clear()
    yield
    pyrender_backend.self_test.cache_clear()


def test_without_a_graphics_card_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyrender_backend, "_DEVICES", ("no-such-device",))
    monkeypatch.setattr(sys, "platform", "linux")

    assert pyrender_backend.open_gl_layer() is None
    assert "no graphics card" in pyrender_backend.self_test()


def test_where_gl_fails_there_is_a_reason_and_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyrender_backend, "_DEVICES", ("null",))
    monkeypatch.setenv("PYOPENGL_PLATFORM", "nonsense")

    assert pyrender_backend.open_gl_layer() is None
    assert pyrender_backend.self_test()


def test_both_renderers_cover_the_same_pixels(
    walk: Reconstruction, small_body: SmplxBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyrender_backend, "_DEVICES", ("null",))
    monkeypatch.setattr(pyrender_backend, "_SOFTWARE", re.compile("nothing"))
    layer = pyrender_backend.open_gl_layer()
    if layer is None:
        pytest.skip(f"no GL here: {pyrender_backend.self_test()}")
    people = people_of_frame(walk, 6, small_body)
    colors = np.array([person_color(int(track)) for track in people.track_id]) / 255
    arguments = (people.vertices_camera, small_body.faces.numpy(), colors, walk.K[6], (240, 320))
    (_, ours), (_, gl) = render_meshes(*arguments), layer(*arguments)
    layer.close()
    # GL counts a pixel that any of its samples touches; on limbs a few pixels thick that rim is a few per cent.
    assert (ours & gl).sum() / (ours | gl).sum() > 0.95
