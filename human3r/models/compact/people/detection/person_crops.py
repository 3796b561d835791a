"""Keypoints from a crop of each person: MoveNet Thunder, guarded by the keypoints of MultiPose.

Owns the crop, the map back to image pixels, and the guard. Detection of people is ``keypoints.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from human3r.models.compact.convnets.movenet import NUM_KEYPOINTS, THUNDER, TORSO_KEYPOINTS, MoveNet, MoveNetMaps
from human3r.models.compact.people.detection.keypoints import (
    STRIDE_PX,
    ImageKeypoints,
    find_keypoints,
    keypoint_similarity,
    person_size,
    share_torso,
    torso_distance,
)

CROP_PX = 256
"""Side of the network's input. Source: the published graph."""
_SHOULDERS, _HIPS = (5, 6), (11, 12)


@dataclass(frozen=True)
class CropOptions:
    """Size of the crops and the guard."""

    torso_margin: float = 1.9
    """Half side over the largest distance of a torso keypoint from the hips. Source: the published crop rule."""
    body_margin: float = 1.2
    """Half side over the largest distance of a trusted keypoint from the hips. Source: the published crop rule."""
    min_score: float = 0.2
    """MultiPose keypoints with higher scores are trusted. Source: the published crop rule."""
    max_median_torsos: float = 0.35
    """Largest median distance between the keypoints of both networks, in torso lengths; above it Thunder has found
    another person or too little of this one, and MultiPose's keypoints stay. Source: 283 annotated people of real
    clips, 4 % of them above."""
    max_similarity: float = 0.5
    """Largest similarity (``keypoint_similarity``) of two people; above it the crops of both show one of them."""
    min_torso_distance: float = 0.24
    """Smallest ``torso_distance`` of two people whose crops may not show the same torso."""
    min_side_px: float = 24.0


class PersonCropDetector(nn.Module):
    """Replace the keypoints of detected people by Thunder's on a crop around each.

    Args:
        max_people: At most this many, largest first; the others keep their keypoints.
        options: Size and guard.
    """

    def __init__(self, max_people: int, options: CropOptions | None = None) -> None:
        super().__init__()
        self.max_people = max_people
        self.options = options or CropOptions()
        self.network = MoveNet(THUNDER)
        self.network.requires_grad_(False)

    def forward(self, image: Tensor, people: ImageKeypoints, scale: Tensor | None = None) -> ImageKeypoints:
        """Detect the keypoints of P people again.

        Args:
            image: ``3 H W`` RGB in [-1, 1].
            people: From MultiPose.
            scale: ``2`` (x, y) pixels of ``image`` per pixel of ``people``; None: both are the same.

        Returns:
            The same people in the pixels of ``people``, keypoints and scores replaced where both networks agree.
        """
        count = min(len(people), self.max_people)
        if count == 0:
            return people
        largest = person_size(people).topk(count).indices
        cropped = self._detect(image, people.select(largest), scale)
        replaced = replace(
            people,
            keypoints_px=people.keypoints_px.index_copy(0, largest, cropped.keypoints_px),
            keypoint_score=people.keypoint_score.index_copy(0, largest, cropped.keypoint_score),
        )
        return keep_apart(people, replaced, self.options)

    def _detect(self, image: Tensor, people: ImageKeypoints, scale: Tensor | None) -> ImageKeypoints:
        scale = people.keypoints_px.new_ones(2) if scale is None else scale
        first = (people.keypoints_px + 0.5) * scale
        squares = person_squares(first, people.keypoint_score, self.options)
        crops = torch.cat([cut_square(image, *square) for square in squares.tolist()])
        crops = crops.to(self.network.stem.weight.dtype)
        # On a CPU a batch saves no time, and packed weights are kept for one shape only.
        batches = crops.split(1 if crops.device.type == "cpu" else len(crops))
        decoded = [decode_single(self.network(batch)) for batch in batches]
        found, scores = (torch.cat(part) for part in zip(*decoded, strict=True))
        # Corner-based coordinates until the end: the first pixel of a crop is not that of the image.
        found = (found + 0.5) * (squares[:, None, 2:] / CROP_PX) + squares[:, None, :2]
        agrees = self._agrees(found, first, people)[:, None]
        return replace(
            people,
            keypoints_px=torch.where(agrees[..., None], found / scale - 0.5, people.keypoints_px),
            keypoint_score=torch.where(agrees, scores, people.keypoint_score),
        )

    def _agrees(self, found: Tensor, first: Tensor, people: ImageKeypoints) -> Tensor:
        """``P`` bool: both networks found the same person."""
        distance = torch.linalg.vector_norm(found - first, dim=-1)
        trusted = people.keypoint_score > self.options.min_score
        median = distance.masked_fill(~trusted, torch.nan).nanmedian(dim=1).values
        size = person_size(replace(people, keypoints_px=first))
        return median <= self.options.max_median_torsos * torso_length(first, size)


def keep_apart(people: ImageKeypoints, replaced: ImageKeypoints, options: CropOptions) -> ImageKeypoints:
    """Restore the keypoints of people whose crops show another person in front of them, or that person's torso.

    Args:
        people: P people as detected in the whole image, all different.
        replaced: The same people with the keypoints of the crops.
        options: When two people are one.

    Returns:
        ``replaced``; of two people who became one, the one that changed more gets its keypoints in ``people``.
    """
    if len(people) < 2:
        return replaced
    is_same = keypoint_similarity(replaced, replaced) > options.max_similarity
    replaced = _restored(people, replaced, is_same)
    # After it, because those that were restored may meet the crop of a third.
    is_borrowed = share_torso(replaced) & (torso_distance(people) > options.min_torso_distance)
    return _restored(people, replaced, is_borrowed)


def _restored(people: ImageKeypoints, replaced: ImageKeypoints, is_same: Tensor) -> ImageKeypoints:
    """Restore the one that changed more of every two people of whom ``P P`` says that they are one."""
    unchanged = keypoint_similarity(replaced, people).diagonal()
    restored = (is_same & (unchanged[:, None] < unchanged[None])).any(dim=1)
    return replace(
        replaced,
        keypoints_px=torch.where(restored[:, None, None], people.keypoints_px, replaced.keypoints_px),
        keypoint_score=torch.where(restored[:, None], people.keypoint_score, replaced.keypoint_score),
    )


def torso_length(keypoints_px: Tensor, size: Tensor) -> Tensor:
    """Return ``P`` distances from the middle of the shoulders to that of the hips, at least a fifth of ``size``."""
    middle = keypoints_px[:, _SHOULDERS].mean(1) - keypoints_px[:, _HIPS].mean(1)
    return torch.maximum(torch.linalg.vector_norm(middle, dim=-1), 0.2 * size).clamp(min=2.0)


def person_squares(keypoints: Tensor, scores: Tensor, options: CropOptions) -> Tensor:
    """Return ``P 3`` squares (left, top, side) centered at the hips, whole pixels.

    Args:
        keypoints: ``P 17 2`` corner-based pixels.
        scores: ``P 17``.
        options: Margins.
    """
    hips = keypoints[:, _HIPS].mean(1, keepdim=True)
    reach = (keypoints - hips).abs().amax(-1)
    torso = reach[:, TORSO_KEYPOINTS].amax(1)
    body = reach.masked_fill(scores <= options.min_score, 0.0).amax(1)
    half = torch.maximum(options.torso_margin * torso, options.body_margin * body)
    side = (2 * half).clamp(min=options.min_side_px).round()
    corner = (hips[:, 0] - side[:, None] / 2).round()
    return torch.cat([corner, side[:, None]], dim=1)


def cut_square(image: Tensor, left: float, top: float, side: float) -> Tensor:
    """Return the crop ``1 3 256 256`` of ``3 H W``, black outside of the image."""
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = int(left), int(top), int(left + side), int(top + side)
    inside = image[None, :, max(y0, 0) : max(min(y1, height), 0), max(x0, 0) : max(min(x1, width), 0)]
    margins = (max(-x0, 0), max(x1 - width, 0), max(-y0, 0), max(y1 - height, 0))
    square = functional.pad(inside, margins, value=-1.0)
    return functional.interpolate(square, (CROP_PX, CROP_PX), mode="bilinear", antialias=True)


def decode_single(maps: MoveNetMaps) -> tuple[Tensor, Tensor]:
    """Decode the person at the center of each crop.

    Args:
        maps: Head maps of P crops.

    Returns:
        Keypoints ``P 17 2`` (x, y) in pixels of the crop, and scores ``P 17``.
    """
    count, _, rows, columns = maps.center.shape
    middle_y = torch.arange(rows, device=maps.center.device)[:, None] - rows // 2
    middle_x = torch.arange(columns, device=maps.center.device) - columns // 2
    nearness = 1 / (torch.sqrt((middle_y**2 + middle_x**2).float()) + 1.8)
    best = (maps.center[:, 0] * nearness).flatten(1).argmax(1)
    cell = torch.stack([best // columns, best % columns], dim=-1)
    people = torch.arange(count, device=best.device)
    regression = maps.keypoint_regression[people, :, cell[:, 0], cell[:, 1]].unflatten(1, (NUM_KEYPOINTS, 2))
    keypoints, scores = [], []
    for person in range(count):
        one = maps.map(lambda values, person=person: values[person : person + 1])
        place, score = find_keypoints(one, cell[person, None, None].float() + regression[person, None])
        keypoints.append(place.flip(-1) * STRIDE_PX - 0.5)
        scores.append(score)
    return torch.cat(keypoints), torch.cat(scores)
