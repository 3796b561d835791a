"""Environment lighting from 360-degree photographs, split into the sun and ambient light.

Source of the photographs: npm package ``@pmndrs/assets`` 1.7.0 (CC0, from Poly Haven), base64 OpenEXR inside ``.js``.
Reading OpenEXR needs the training-only dependency ``OpenEXR``; without photographs a gradient sky is used.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

RESERVED_ENVIRONMENTS = frozenset({"venice", "sunset"})
"""Never loaded: ``venice`` is reserved for independent evaluation, and ``sunset`` may show the same place."""
OUTDOOR_ENVIRONMENTS = ("bridge", "city", "dawn", "esplanade", "forest", "park", "sky", "sunrise")
INDOOR_ENVIRONMENTS = ("apartment", "hall", "lab", "lobby", "studio", "warehouse", "workshop", "night")
VALIDATION_ENVIRONMENTS = frozenset({"esplanade", "dawn", "lobby"})
"""Reserved for the validation split."""
AMBIENT_LEVEL = 0.6
"""Mean irradiance over pi, without the sun, to which every photograph is scaled."""
SUN_THRESHOLD = 40.0
"""Radiance over the median above which a pixel counts as sun."""


@dataclass(frozen=True)
class Environment:
    """One 360-degree photograph, split into the sun and the rest."""

    name: str
    image: np.ndarray
    """``h w 3`` float32 linear radiance, first row up, column 0 at azimuth -pi (x = sin, z = cos); sun cut off."""
    harmonics: np.ndarray
    """``9 3`` ambient irradiance over pi, without the sun."""
    sun_direction: np.ndarray
    """``3`` unit, toward the sun."""
    sun_color: np.ndarray
    """``3`` irradiance over pi on a surface that faces the sun; zeros without a sun."""

    def turned(self, share: float) -> Environment:
        """Return the same light turned about the vertical by ``share`` of a full turn."""
        columns = round(share * self.image.shape[1])
        image = np.roll(self.image, columns, 1)
        angle = 2 * np.pi * columns / self.image.shape[1]
        x, y, z = self.sun_direction
        sun = np.array([x * np.cos(angle) + z * np.sin(angle), y, z * np.cos(angle) - x * np.sin(angle)])
        return replace(self, image=image, harmonics=project_harmonics(image), sun_direction=sun)


def load_environments(folder: Path | None) -> dict[str, Environment]:
    """Load every allowed ``*.exr.js`` of a folder (the package's ``hdri``), by name; empty when there is no folder."""
    found = {}
    for path in sorted(folder.glob("*.exr.js")) if folder else []:
        name = path.name.removesuffix(".exr.js")
        if name not in RESERVED_ENVIRONMENTS:
            image = _read_packed_exr(path)
            found[name] = split_environment(name, image * (0.4 / max(float(np.median(image.mean(-1))), 1e-4)))
    return found


def split_environment(name: str, image: np.ndarray) -> Environment:
    """Separate the sun (if any) from an equirectangular radiance map ``h w 3``."""
    solid_angle = _solid_angles(*image.shape[:2])
    luminance = image.mean(-1)
    directions = _directions(*image.shape[:2])
    excess = np.where((luminance > SUN_THRESHOLD)[..., None] & (directions[..., 1:2] > 0), image, 0)
    sun_irradiance = (excess * solid_angle[..., None]).sum((0, 1))
    clipped = np.where(excess > 0, SUN_THRESHOLD * 0.3, image)
    direction = (directions * (excess.mean(-1) * solid_angle)[..., None]).sum((0, 1))
    harmonics = project_harmonics(clipped)
    level = float(harmonics[0].mean())
    strength = float(sun_irradiance.mean()) / np.pi / level
    if strength < 0.15:
        direction, sun_color = np.array([0.0, 1.0, 0.0]), np.zeros(3)
    else:
        # The colors of the few compressed sun pixels are unreliable: only their intensity is used.
        height = direction[1] / np.linalg.norm(direction)
        sun_color = AMBIENT_LEVEL * min(strength, 3.5) * np.array([1.0, 0.85 + 0.12 * height, 0.65 + 0.3 * height])
    direction = direction / np.linalg.norm(direction)
    # Near the horizon shadows become unbounded; at the zenith walls get no sun.
    direction[1] = np.clip(direction[1], 0.3, 0.9)
    flat = np.linalg.norm(direction[[0, 2]])
    direction[[0, 2]] = (direction[[0, 2]] if flat > 0.05 else np.array([0.6, 0.8])) / max(flat, 0.05)
    direction[[0, 2]] *= np.sqrt(1 - direction[1] ** 2) / np.linalg.norm(direction[[0, 2]])
    gain = AMBIENT_LEVEL / level
    clipped = np.minimum(clipped * gain, 20).astype(np.float32)
    return Environment(name, clipped, harmonics * np.float32(gain), direction, sun_color)


def project_harmonics(image: np.ndarray) -> np.ndarray:
    """Return ``9 3``: irradiance over pi of a radiance map as a polynomial 1, y, z, x, xy, yz, 3zz-1, xz, xx-yy.

    Source: Ramamoorthi and Hanrahan 2001, "An Efficient Representation for Irradiance Environment Maps".
    """
    x, y, z = np.moveaxis(_directions(*image.shape[:2]), -1, 0)
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])
    scale = np.array([0.282095, *[0.488603] * 3, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274])
    band = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])
    light = np.einsum("khw,hwc,hw->kc", basis, image, _solid_angles(*image.shape[:2]))
    return (light * (scale**2 * band)[:, None]).astype(np.float32)


def gradient_sky(rng: np.random.Generator) -> Environment:
    """Build a sky with a vertical gradient above a dark ground."""
    y = _directions(64, 128)[..., 1:2]
    zenith, horizon = np.array([0.25, 0.45, 0.9]), np.array([0.8, 0.85, 0.9]) * rng.uniform(0.7, 1.1)
    sky = horizon * (1 - np.clip(y, 0, 1)) + zenith * np.clip(y, 0, 1)
    return split_environment("gradient", np.where(y > 0, sky, 0.18) * np.ones((64, 128, 3)) * rng.uniform(0.6, 1.2))


def room_harmonics(rng: np.random.Generator, floor_color: np.ndarray, level: float) -> np.ndarray:
    """Return the ambient light inside a room: mostly uniform, with bounced light from the floor and a random slope."""
    harmonics = np.zeros((9, 3), np.float32)
    warmth = np.array([1.0 + rng.uniform(-0.05, 0.12), 1.0, 1.0 + rng.uniform(-0.15, 0.06)])
    bounce = np.asarray(floor_color) / max(float(np.mean(floor_color)), 1e-3)
    harmonics[0] = level * warmth * (0.75 + 0.25 * bounce)
    harmonics[1] = level * (rng.uniform(-0.05, 0.3) * warmth - 0.1 * bounce)
    harmonics[2:4] = level * rng.uniform(-0.15, 0.15, (2, 1)) * warmth
    return harmonics


def _directions(height: int, width: int) -> np.ndarray:
    """Return unit directions ``h w 3`` of an equirectangular map, matching ``shading.sample_environment``."""
    polar = (np.arange(height)[:, None] + 0.5) / height * np.pi
    azimuth = ((np.arange(width)[None] + 0.5) / width - 0.5) * 2 * np.pi
    ones = np.ones((height, width))
    return np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar) * ones, np.sin(polar) * np.cos(azimuth)], -1)


def _solid_angles(height: int, width: int) -> np.ndarray:
    polar = (np.arange(height)[:, None] + 0.5) / height * np.pi
    return np.sin(polar) * (np.pi / height) * (2 * np.pi / width) * np.ones((1, width))


def _read_packed_exr(path: Path) -> np.ndarray:
    import OpenEXR

    packed = re.search(r"base64,([A-Za-z0-9+/=]+)", path.read_text())
    if packed is None:
        raise ValueError(f"{path.name} holds no base64 image.")
    with NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(packed[1]))
        file.flush()
        pixels = OpenEXR.File(file.name).channels()["RGB"].pixels
        # The lossy compression leaves a few negative values around the sun.
        return np.clip(np.nan_to_num(np.asarray(pixels, np.float32), posinf=1e4), 0, None)
