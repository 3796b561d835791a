"""Furniture, light and sensor: reserved material is never read, sizes are metric, colors are sound."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("numba", reason="needs the training-only dependency numba")

from human3r.palette import linear_to_srgb, srgb_to_linear
from human3r.training.synthetic.places.furniture import LIBRARIES, FurnitureStore
from human3r.training.synthetic.rendering.environment import gradient_sky, load_environments, project_harmonics
from human3r.training.synthetic.rendering.sensor import develop, through_h264
from human3r.training.synthetic.rendering.textures import TextureBank, cloud_noise

RESERVED_LIBRARIES = {"Reallusion", "Scopia"}

CATALOG = """
id#1=Test#stool
name#1=Stool
category#1=Living room
model#1=/stool/stool.obj
width#1=40
depth#1=30
height#1=50
"""
OBJ = """mtllib stool.mtl
v 0 0 0
v 2 0 0
v 2 4 0
v 0 4 7
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl cloth
f 1/1 2/2 3/3 4/4
"""
MTL = "newmtl cloth\nKd 0.5 0.5 0.5\nmap_Kd cloth.png\n"


def write_library(path, obj: str = OBJ) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOG)
        archive.writestr("stool/stool.obj", obj)
        archive.writestr("stool/stool.mtl", MTL)
        archive.writestr("stool/cloth.png", picture.getvalue())


def test_a_model_has_the_size_of_its_catalog_and_stands_on_the_floor(tmp_path):
    write_library(tmp_path / "BlendSwap-CC-0.sh3f")
    store = FurnitureStore(tmp_path, tmp_path / "cache")
    bank = TextureBank()
    mesh = store.load(store.items[0], bank)
    low, high = mesh.bounds()
    np.testing.assert_allclose(high - low, [0.4, 0.5, 0.3], rtol=1e-5)
    assert low[1] == pytest.approx(0, abs=1e-6)
    assert len(mesh.faces) == 2
    assert mesh.materials[0].texture == 0
    assert len(bank) == 1


def test_a_cached_model_is_the_parsed_one(tmp_path):
    write_library(tmp_path / "BlendSwap-CC-0.sh3f")
    first = FurnitureStore(tmp_path, tmp_path / "cache")
    mesh = first.load(first.items[0], TextureBank())
    second = FurnitureStore(tmp_path, tmp_path / "cache")
    again = second.load(second.items[0], TextureBank())
    assert np.array_equal(again.vertices, mesh.vertices)
    assert np.array_equal(again.uv, mesh.uv)


def test_reserved_libraries_are_never_opened(tmp_path):
    for name in RESERVED_LIBRARIES:
        (tmp_path / f"{name}.sh3f").write_bytes(b"not even a zip")
    assert FurnitureStore(tmp_path).items == []
    assert not RESERVED_LIBRARIES & set(LIBRARIES)


def test_the_reserved_photograph_is_never_read(tmp_path):
    (tmp_path / "venice.exr.js").write_text("broken on purpose")
    assert load_environments(tmp_path) == {}


def test_a_uniform_sky_lights_all_directions_equally():
    harmonics = project_harmonics(np.full((64, 128, 3), 0.8))
    np.testing.assert_allclose(harmonics[0], 0.8, rtol=1e-2)
    np.testing.assert_allclose(harmonics[1:], 0, atol=1e-2)


def test_turning_the_sky_turns_its_sun():
    sky = gradient_sky(np.random.default_rng(0))
    turned = sky.turned(0.25).turned(0.75)
    np.testing.assert_allclose(turned.sun_direction, sky.sun_direction, atol=1e-9)
    np.testing.assert_allclose(turned.image, sky.image)


def test_color_decoding_undoes_encoding():
    values = np.linspace(0, 1, 50)
    np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(values)), values, atol=1e-6)


def test_noise_tiles_without_a_seam():
    noise = cloud_noise(np.random.default_rng(0), 64, 2.0)
    seam, inside = np.abs(noise[:, 0] - noise[:, -1]).mean(), np.abs(np.diff(noise, axis=1)).mean()
    assert seam < 2 * inside
    assert noise.std() == pytest.approx(1, rel=1e-3)


def test_h264_keeps_number_size_and_appearance_of_frames():
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    frames = np.tile(ramp[None, None, :, None], (4, 48, 1, 3))
    decoded = through_h264(frames, crf=20)
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 4


def test_developing_is_exposed_and_repeatable():
    light = np.random.default_rng(1).uniform(0.01, 5, (2, 32, 48, 3)).astype(np.float32)
    first, again = (develop(np.random.default_rng(5), light) for _ in range(2))
    assert np.array_equal(first, again)
    assert 40 < first.mean() < 215
