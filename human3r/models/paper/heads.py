"""The paper's heads: points, person mask, camera, people, and the extra outputs.

Sources: CUT3R (arXiv 2501.12387), sec. 3.3; Human3R (arXiv 2510.06219), sec. 3.3; Multi-HMR (arXiv 2402.14654).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.geometry.camera import focal_from_pointmap
from human3r.geometry.rigid import rigid_transform, rotation_from_6d, rotation_from_quaternion
from human3r.models.config import PaperConfig, TrunkConfig
from human3r.models.layers.attention import SelfAttention
from human3r.models.layers.blocks import Mlp, build_norm
from human3r.models.layers.casting import Linear
from human3r.models.layers.rope import Rotary, RotaryTable
from human3r.models.paper.dinov2 import HumanTokens, squeezed_sigmoid
from human3r.models.paper.dpt import DptHead
from human3r.models.paper.letterbox import letterbox_map_to_image
from human3r.models.parts import DecodedFrame, PersonParameters, SceneExtras, ScenePoints
from human3r.records import TensorRecord
from human3r.skeleton import NUM_JOINT_ROTATIONS


def exponential_points(raw: Tensor) -> Tensor:
    """Return points ``... 3`` in meters from raw vectors: same direction, length expm1(raw length)."""
    length = raw.norm(dim=-1, keepdim=True)
    return raw / length.clamp_min(1e-8) * torch.expm1(length)


def exponential_confidence(raw: Tensor) -> Tensor:
    """Return a confidence > 1."""
    return 1 + raw.exp()


def bounded_colors(raw: Tensor) -> Tensor:
    """Return colors in (-1, 1)."""
    return 2 * (squeezed_sigmoid(raw) - 0.5)


def split_points(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Convert a raw map ``1 4 H W`` to points ``H W 3`` and confidence ``H W``."""
    values = raw[0].permute(1, 2, 0)
    return exponential_points(values[..., :3]), exponential_confidence(values[..., 3])


def decode_camera(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Convert raw outputs ``... 7`` to a translation ``... 3``, meters, and a unit quat_wxyz ``... 4``, w >= 0."""
    quaternion = functional.normalize(raw[..., 3:], dim=-1)
    return exponential_points(raw[..., :3]), torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


class DptPointHead(nn.Module):
    """Points and confidence in the camera frame."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        self.dpt = DptHead(trunk, parts, 4)

    def forward(self, frame: DecodedFrame) -> ScenePoints:
        """Predict one frame; the focal length is fitted to the points."""
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[DecodedFrame]) -> list[ScenePoints]:
        """Predict frames of one size."""
        levels = tuple(torch.cat(level) for level in zip(*(frame.levels for frame in frames), strict=True))
        raw = self.dpt(levels, frames[0].image.grid)
        maps = [split_points(raw[index : index + 1]) for index in range(len(frames))]
        return [ScenePoints(pointmap, confidence, focal_from_pointmap(pointmap)) for pointmap, confidence in maps]


class PatchMaskHead(nn.Module):
    """Person mask from the tokens of the human prior; each token predicts the pixels of its patch."""

    def __init__(self, parts: PaperConfig) -> None:
        super().__init__()
        self.patch_size = parts.human_patch_size
        self.mlp = Mlp(parts.human_dim, parts.human_dim, parts.human_patch_size**2)

    def forward(self, frame: DecodedFrame) -> Tensor:
        """Return ``H W`` probabilities."""
        assert isinstance(frame.human, HumanTokens)
        square = mask_square(self.mlp(frame.human.tokens.float()), self.patch_size)
        return letterbox_map_to_image(square, frame.image_size)[0]


class ImageMaskHead(nn.Module):
    """Person mask from the tokens of the image encoder; each token predicts the pixels of its patch."""

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        self.patch_size = trunk.patch_size
        self.mlp = Mlp(trunk.token_dim, trunk.token_dim, trunk.patch_size**2)

    def forward(self, frame: DecodedFrame) -> Tensor:
        """Return ``H W`` probabilities."""
        return mask_map(self.mlp(frame.image.tokens.float()), frame.image.grid, self.patch_size)[0]


def mask_square(logits: Tensor, patch_size: int) -> Tensor:
    """Convert mask logits ``B g*g patch*patch`` to probabilities ``B R R`` over the letterboxed square."""
    side = round(logits.shape[1] ** 0.5)
    return mask_map(logits, (side, side), patch_size)


def mask_map(logits: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Convert mask logits ``B N patch*patch`` over a grid (rows, columns) to probabilities ``B H W``."""
    maps = squeezed_sigmoid(logits).transpose(1, 2).unflatten(-1, grid)
    return functional.pixel_shuffle(maps, patch_size)[:, 0]


class NoMaskHead(nn.Module):
    """The mask head of checkpoints without one: no pixel shows a person."""

    def forward(self, frame: DecodedFrame) -> Tensor:
        """Return ``H W`` zeros."""
        return torch.zeros(frame.image_size, device=frame.pose_token.device)


class MlpCameraHead(nn.Module):
    """Camera from the decoded pose token."""

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        dim = trunk.decoder_dim
        self.mlp = Mlp(dim, 4 * dim, 7)

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: TensorRecord | None
    ) -> tuple[Tensor, TensorRecord | None]:
        """Return ``T_segment_camera``, from the pose token alone."""
        translation, quaternion = decode_camera(self.mlp(frame.pose_token)[0])
        return rigid_transform(rotation_from_quaternion(quaternion), translation), None

    def refine_focal(self, points: ScenePoints, state: TensorRecord | None) -> ScenePoints:
        """Return the points unchanged."""
        return points


class MlpPersonHead(nn.Module):
    """Body parameters from [human token, human-prior feature], relative to a mean body."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        dim, joined = trunk.decoder_dim, trunk.decoder_dim + parts.human_dim
        self.rotations = Mlp(joined, 4 * joined, 6 * NUM_JOINT_ROTATIONS)
        self.betas = Mlp(joined, 4 * joined, 10)
        self.expression = Mlp(joined, 4 * joined, 10)
        self.translation = Mlp(dim, 4 * dim, 3)
        self.register_buffer("mean_rotations", torch.zeros(1, 6 * NUM_JOINT_ROTATIONS))
        self.register_buffer("mean_betas", torch.zeros(1, 10))
        self.register_buffer("mean_expression", torch.zeros(1, 10))

    def forward(
        self, frame: DecodedFrame, points: ScenePoints, state: TensorRecord | None
    ) -> tuple[PersonParameters, None]:
        """Predict the people of ``frame.detections``; this head has no state."""
        joined = torch.cat((frame.human_tokens, frame.detections.human_features.float()), dim=-1)
        six_d = self.rotations(joined) + self.mean_rotations
        people = PersonParameters(
            joint_rotations=rotation_from_6d(six_d.unflatten(-1, (NUM_JOINT_ROTATIONS, 6))),
            betas=self.betas(joined) + self.mean_betas,
            expression=self.expression(joined) + self.mean_expression,
            head_camera=exponential_points(self.translation(frame.human_tokens)),
        )
        return people, None


class ModulatedNorm(nn.Module):
    """Layer norm whose shift and scale depend on a condition."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = build_norm(dim)
        self.condition = Linear(dim, 2 * dim)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Map ``B N D`` under a condition ``B D``."""
        shift, scale = self.condition(functional.silu(condition))[:, None].chunk(2, dim=-1)
        return self.norm(tokens) * (1 + scale) + shift


class ModulatedBlock(nn.Module):
    """Encoder block with modulated norms."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = ModulatedNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), dim)

    def forward(self, tokens: Tensor, condition: Tensor, rotary: RotaryTable) -> Tensor:
        """Map ``B N D`` under a condition ``B D``."""
        tokens = tokens + self.attention(self.norm1(tokens, condition), rotary)
        return tokens + self.mlp(self.norm2(tokens, condition))


class DptExtraHead(nn.Module):
    """Points in the frame of the segment's first camera (tokens modulated by the pose token), and colors."""

    def __init__(self, trunk: TrunkConfig, parts: PaperConfig) -> None:
        super().__init__()
        dim, heads = trunk.decoder_dim, trunk.decoder_heads
        self.rotary = Rotary(dim // heads, trunk.rope_base)
        self.blocks = nn.ModuleList(
            ModulatedBlock(dim, heads, trunk.mlp_ratio) for _ in range(parts.num_modulated_blocks)
        )
        self.points = DptHead(trunk, parts, 4)
        self.colours = DptHead(trunk, parts, 3)
        """Spelled as in the weight files that exist."""

    def forward(self, frame: DecodedFrame) -> SceneExtras:
        """Predict one frame."""
        tokens = frame.levels[-1]
        rotary = self.rotary.grid(*frame.image.grid, tokens.device)
        for block in self.blocks:
            tokens = block(tokens, frame.pose_token, rotary)
        pointmap, confidence = split_points(self.points((*frame.levels[:-1], tokens), frame.image.grid))
        colors = bounded_colors(self.colours(frame.levels, frame.image.grid))
        return SceneExtras(pointmap, confidence, colors[0].permute(1, 2, 0))
