"""Random materials of floors, walls, ceilings and grounds: a texture and the size of one repeat in meters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from human3r.palette import linear_to_srgb, srgb_to_linear
from human3r.training.synthetic.rendering import textures
from human3r.training.synthetic.rendering.mesh import Material, Mesh, box, quad
from human3r.training.synthetic.rendering.textures import TextureBank, tint

WHITE = (1.0, 1.0, 1.0)
MATTE_GLOSS = 15.0


@dataclass(frozen=True)
class Surface:
    """A material and the size of one repeat of its texture."""

    material: Material
    repeat_m: float
    mean_color: np.ndarray
    """``3`` linear albedo, for indirect light."""

    def quad(self, corner: ArrayLike, side_u: ArrayLike, side_v: ArrayLike) -> Mesh:
        """Build a rectangle of this surface from a corner and two sides."""
        return quad(corner, side_u, side_v, self.material, self.repeat_m)

    def box(self, low: ArrayLike, high: ArrayLike) -> Mesh:
        """Build an axis-aligned box of this surface."""
        return box(low, high, self.material, self.repeat_m)


def make_surface(
    bank: TextureBank, image: np.ndarray, repeat_m: float, specular: float = 0.03, gloss: float = MATTE_GLOSS
) -> Surface:
    """Register a texture as a surface."""
    mean = srgb_to_linear(image.reshape(-1, 3).mean(0) / 255)
    return Surface(Material(WHITE, bank.add(image), specular, gloss), repeat_m, mean)


def grain_texture(rng: np.random.Generator, bank: TextureBank) -> int:
    """Register the faint grain that furniture without textures gets; return its number."""
    image = textures.plaster(rng, np.array([0.93, 0.93, 0.93]), 0.035)
    return make_surface(bank, image, 1.0).material.texture


def wood_tone(rng: np.random.Generator) -> np.ndarray:
    """Draw the sRGB color of a wood: light to dark, sometimes desaturated."""
    light, dark = np.array([0.85, 0.70, 0.50]), np.array([0.28, 0.17, 0.10])
    share = rng.uniform()
    tone = light * share + dark * (1 - share)
    if rng.uniform() < 0.2:
        tone = 0.3 * tone + 0.7 * tone.mean()
    return np.clip(tone * rng.uniform(0.9, 1.1, 3), 0.05, 0.95)


def floor_surface(rng: np.random.Generator, bank: TextureBank) -> Surface:
    """Draw a floor: boards, tiles, carpet, concrete, linoleum."""
    kind = rng.choice(
        ["planks", "tiles", "checks", "carpet", "concrete", "linoleum"], p=[0.36, 0.2, 0.06, 0.18, 0.1, 0.1]
    )
    gloss = float(rng.uniform(10, 120))
    if kind == "planks":
        boards = int(rng.choice([4, 8]))
        image, repeat, specular = textures.planks(rng, wood_tone(rng), boards), boards * rng.uniform(0.09, 0.2), 0.04
    elif kind == "tiles":
        color = tint(rng, 0.3, 0.85, 0.15)
        image, repeat, specular = textures.tiles(rng, color, color), 4 * rng.uniform(0.2, 0.6), 0.05
    elif kind == "checks":
        light, dark = tint(rng, 0.6, 0.9, 0.1), tint(rng, 0.08, 0.4, 0.3)
        image, repeat, specular = textures.tiles(rng, light, dark), 4 * rng.uniform(0.2, 0.4), 0.05
    elif kind == "carpet":
        image, repeat = textures.carpet(rng, tint(rng, 0.2, 0.7, 0.3)), rng.uniform(0.5, 1.5)
        specular, gloss = 0.01, MATTE_GLOSS
    elif kind == "concrete":
        image, repeat, specular = textures.asphalt(rng, rng.uniform(0.4, 0.7)), rng.uniform(2, 4), 0.04
    else:
        image, repeat, specular = textures.plaster(rng, tint(rng, 0.3, 0.75, 0.3), 0.05), rng.uniform(1, 3), 0.05
    return make_surface(bank, image, repeat, specular, gloss)


def wall_surface(rng: np.random.Generator, bank: TextureBank) -> Surface:
    """Draw a wall: mostly painted plaster, else wallpaper, brick, boards, tiles or concrete."""
    kind = rng.choice(
        ["white", "paint", "paper", "brick", "boards", "tiles", "concrete"],
        p=[0.34, 0.28, 0.15, 0.07, 0.05, 0.06, 0.05],
    )
    if kind == "white":
        image = textures.plaster(rng, tint(rng, 0.75, 0.95, 0.06), rng.uniform(0.004, 0.02))
        return make_surface(bank, image, rng.uniform(1.5, 4), 0.02)
    if kind == "paint":
        image = textures.plaster(rng, tint(rng, 0.35, 0.9, 0.3), rng.uniform(0.005, 0.03))
        return make_surface(bank, image, rng.uniform(1.5, 4), 0.02)
    if kind == "paper":
        base = tint(rng, 0.4, 0.9, 0.25)
        other = np.clip(base * rng.uniform(0.6, 1.3) + rng.normal(0, 0.06, 3), 0.05, 0.98)
        return make_surface(bank, textures.wallpaper(rng, base, other), rng.uniform(0.4, 1.2))
    if kind == "brick":
        color = np.array([0.6, 0.33, 0.24]) * rng.uniform(0.6, 1.3) if rng.uniform() < 0.7 else tint(rng, 0.4, 0.9, 0.1)
        return make_surface(bank, textures.bricks(rng, color), 16 * rng.uniform(0.065, 0.09))
    if kind == "boards":
        return make_surface(bank, textures.planks(rng, wood_tone(rng)), rng.uniform(0.7, 1.2), 0.04)
    if kind == "tiles":
        color = tint(rng, 0.6, 0.95, 0.15)
        return make_surface(bank, textures.tiles(rng, color, color), 4 * rng.uniform(0.1, 0.3), 0.06, 80.0)
    return make_surface(bank, textures.asphalt(rng, rng.uniform(0.5, 0.75)), rng.uniform(2, 4))


def ceiling_surface(rng: np.random.Generator, bank: TextureBank, is_office: bool) -> Surface:
    """Draw a ceiling: white plaster or a tile grid."""
    color = tint(rng, 0.8, 0.95, 0.04)
    if is_office and rng.uniform() < 0.7:
        return make_surface(bank, textures.tiles(rng, color, color), 4 * 0.6)
    return make_surface(bank, textures.plaster(rng, color, 0.01), 3.0)


def trim_surface(rng: np.random.Generator, bank: TextureBank) -> Surface:
    """Draw the surface of frames, skirting boards and shelves: white or wood."""
    if rng.uniform() < 0.55:
        return make_surface(bank, textures.plaster(rng, tint(rng, 0.75, 0.95, 0.05), 0.01), 1.0, 0.04, 40.0)
    return make_surface(bank, textures.wood(rng, wood_tone(rng)), 0.6, 0.04, 30.0)


def cloth_surface(rng: np.random.Generator, bank: TextureBank) -> Surface:
    """Draw a cloth for curtains and rugs."""
    if rng.uniform() < 0.5:
        return make_surface(bank, textures.carpet(rng, tint(rng, 0.15, 0.85, 0.45), 0.05), 0.6, 0.01)
    image = textures.wallpaper(rng, tint(rng, 0.15, 0.85, 0.45), tint(rng, 0.1, 0.9, 0.45))
    return make_surface(bank, image, rng.uniform(0.3, 1.2), 0.01)


def ground_surface(rng: np.random.Generator, bank: TextureBank, kind: str) -> Surface:
    """Return a ground: ``grass``, ``asphalt``, ``paving``, ``gravel`` or ``concrete``."""
    if kind == "grass":
        return make_surface(bank, textures.grass(rng), rng.uniform(1.5, 3), 0.01)
    if kind == "paving":
        color = tint(rng, 0.35, 0.7, 0.12)
        other = color * rng.uniform(0.75, 1.1) if rng.uniform() < 0.4 else color
        if rng.uniform() < 0.4:
            return make_surface(bank, textures.bricks(rng, color), 16 * rng.uniform(0.1, 0.14), 0.02)
        return make_surface(bank, textures.tiles(rng, color, other), 4 * rng.uniform(0.25, 0.6), 0.02)
    brightness = {"asphalt": (0.2, 0.4), "gravel": (0.4, 0.6), "concrete": (0.5, 0.75)}[kind]
    return make_surface(bank, textures.asphalt(rng, rng.uniform(*brightness)), rng.uniform(1.5, 4), 0.02)


def picture(rng: np.random.Generator, photographs: list[np.ndarray]) -> np.ndarray:
    """Return the image of a wall picture, ``h w 3`` uint8: a crop of a photograph, stripes or random patches."""
    kind = rng.integers(4)
    if kind <= 1 and photographs:
        photograph = photographs[rng.integers(len(photographs))]
        height, width = photograph.shape[:2]
        side = int(rng.integers(height // 4, height // 2))
        top, left = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
        crop = photograph[top : top + side, left : left + side]
        return (linear_to_srgb(crop / (crop + 0.6)) * 255).astype(np.uint8)
    if kind == 2:
        bands = np.stack([tint(rng, 0.05, 0.95, 0.8) for _ in range(int(rng.integers(3, 9)))])
        image = np.repeat(bands, -(-128 // len(bands)), 0)[:128, None].repeat(128, 1)
        return (image * 255).astype(np.uint8)
    image = np.tile(tint(rng, 0.3, 0.95, 0.4), (128, 128, 1))
    for _ in range(int(rng.integers(2, 9))):
        mask = textures.cloud_noise(rng, 128, 2.2) > rng.uniform(0.3, 1.3)
        image[mask] = tint(rng, 0.05, 0.95, 0.8)
    return (image * 255).astype(np.uint8)
