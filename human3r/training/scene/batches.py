"""From rendered clips to training samples: frame selection, resizing, mirroring and photometric augmentation.

Renders are sharper, cleaner and more saturated than phone video, so the augmentation is strong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from human3r.records import TensorRecord
from human3r.training.clip import SyntheticClip, clip_folders, read_clip


@dataclass(frozen=True)
class SceneSample(TensorRecord):
    """T frames of one clip at network size, or of several concatenated clips."""

    image: Tensor
    """``T 3 H W`` in [-1, 1]."""
    depth: Tensor
    """``T H W`` meters; 0 where there is only sky."""
    person_mask: Tensor
    """``T H W`` 0 or 1."""
    focal_px: Tensor
    """``T`` pixels of this size."""
    T_world_camera: Tensor
    """``T 4 4``"""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        return self.image.shape[-2], self.image.shape[-1]


def choose_frames(length: int, count: int, generator: np.random.Generator) -> tuple[int, ...]:
    """Choose ``count`` frames in order with one stride, from either end; a shorter clip goes back and forth."""
    distinct = min(count, length)
    stride = int(generator.integers(1, (length - 1) // max(distinct - 1, 1) + 1)) if distinct > 1 else 1
    first = int(generator.integers(0, length - (distinct - 1) * stride))
    frames = tuple(range(first, first + distinct * stride, stride))
    frames = frames if generator.random() < 0.5 else frames[::-1]
    there_and_back = frames + frames[-2:0:-1]
    return tuple(there_and_back[index % len(there_and_back)] for index in range(count))


def network_size(image_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the sides, scaled, as multiples of 32."""
    height, width = (max(64, round(side * scale / 32) * 32) for side in image_size)
    return height, width


def build_sample(clip: SyntheticClip, size: tuple[int, int]) -> SceneSample:
    """Resize a clip to (height, width).

    Depth and mask take the nearest pixel, so that no depth between two surfaces appears.
    """
    height, width = size
    image = torch.from_numpy(clip.image).permute(0, 3, 1, 2).float() / 127.5 - 1
    image = functional.interpolate(image, (height, width), mode="bilinear", antialias=True, align_corners=False)
    truth = torch.stack([torch.from_numpy(clip.depth), torch.from_numpy(clip.person_mask).float()], dim=1)
    truth = functional.interpolate(truth, (height, width), mode="nearest-exact")
    # The scales of both sides may differ slightly; one focal length is used for both.
    scale = 0.5 * (width / clip.image.shape[2] + height / clip.image.shape[1])
    focal = torch.from_numpy(clip.K[:, 0, 0]).float() * scale
    return SceneSample(image, truth[:, 0], truth[:, 1], focal, torch.from_numpy(clip.T_world_camera).float())


def read_sample(
    folder: Path, frames: int, scale: float, generator: np.random.Generator, min_crop: float = 1.0
) -> SceneSample:
    """Read a random part of a rendered clip, augmented for training."""
    length = len(sorted(folder.glob("rgb_*.jpg")))
    clip = read_clip(folder, choose_frames(length, frames, generator))
    size = network_size(clip.image.shape[1:3], scale)
    sample = build_sample(crop_center(clip, float(generator.uniform(min_crop, 1.0))), size)
    if generator.random() < 0.5:
        sample = mirror(sample)
    return SceneSample(**{**vars(sample), "image": augment_colors(sample.image, generator)})


def crop_center(clip: SyntheticClip, share: float) -> SyntheticClip:
    """Crop to the middle ``share`` of both sides, which corresponds to a longer focal length."""
    height, width = clip.image.shape[1:3]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    inside = (slice(None), slice(top, height - top), slice(left, width - left))
    maps = {name: getattr(clip, name)[inside] for name in ("image", "depth", "person_index")}
    K = clip.K.copy()
    K[:, :2, 2] -= (left, top)
    return replace(clip, **maps, K=K)


class ClipPool:
    """The rendered clips of a folder by image size; ``refresh`` adds clips rendered since."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.by_size: dict[tuple[int, int], list[Path]] = {}
        self.known: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        """Add clips that were rendered since the last call."""
        for folder in clip_folders(self.root):
            if folder not in self.known:
                self.known.add(folder)
                with Image.open(folder / "rgb_00.jpg") as image:
                    self.by_size.setdefault((image.height, image.width), []).append(folder)

    def draw(self, count: int, generator: np.random.Generator) -> list[Path]:
        """Draw clips of one size, with sizes in proportion to their number of clips."""
        sizes = sorted(self.by_size)
        shares = np.array([len(self.by_size[size]) for size in sizes], float)
        chosen = self.by_size[sizes[int(generator.choice(len(sizes), p=shares / shares.sum()))]]
        return [chosen[index] for index in generator.integers(len(chosen), size=count)]


def mirror(sample: SceneSample) -> SceneSample:
    """Mirror images, maps and camera poses left to right."""
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    return SceneSample(
        sample.image.flip(-1),
        sample.depth.flip(-1),
        sample.person_mask.flip(-1),
        sample.focal_px,
        flip @ sample.T_world_camera @ flip,
    )


def augment_colors(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Change colors, brightness, sharpness and noise by the same random amounts for all frames of a clip.

    Args:
        image: ``T 3 H W`` in [-1, 1].
    """
    light = (image + 1) / 2
    light = light.clamp(min=1e-4) ** float(np.exp(generator.normal(0, 0.3)))
    gray = light.mean(dim=1, keepdim=True)
    light = gray + (light - gray) * float(generator.uniform(0.0, 1.6))
    tint = torch.from_numpy(np.exp(generator.normal(0, 0.12, 3))).float()[:, None, None]
    light = light * tint * float(np.exp(generator.normal(0, 0.25)))
    mean = light.mean()
    light = mean + (light - mean) * float(np.exp(generator.normal(0, 0.25)))
    light = light + float(generator.normal(0, 0.05))
    if generator.random() < 0.5:
        light = _soften(light, float(generator.uniform(0.4, 0.95)))
    noise = float(generator.choice([0.0, 0.01, 0.03], p=[0.4, 0.4, 0.2]))
    if noise > 0:
        seed = int(generator.integers(2**31))
        light = light + noise * torch.randn(light.shape, generator=torch.Generator().manual_seed(seed))
    if generator.random() < 0.3:
        light = _flare(light, generator)
    return light.clamp(0, 1) * 2 - 1


def _soften(light: Tensor, scale: float) -> Tensor:
    """Remove fine detail by down- and upsampling."""
    height, width = light.shape[-2:]
    small = functional.interpolate(light, scale_factor=scale, mode="bilinear", antialias=True)
    return functional.interpolate(small, (height, width), mode="bilinear")


def _flare(light: Tensor, generator: np.random.Generator) -> Tensor:
    """Add a soft bright or dark spot."""
    height, width = light.shape[-2:]
    y = torch.linspace(0, 1, height)[:, None] - float(generator.random())
    x = torch.linspace(0, 1, width)[None] - float(generator.random())
    spot = torch.exp(-(x.square() + y.square()) / float(generator.uniform(0.02, 0.4)))
    return light + spot * float(generator.uniform(-0.4, 0.5))
