"""Pages of close pictures of people to look at: backs, seated people from the side, hands.

    python -m human3r.evaluation.contact_sheets RESULT.npz CLIP SHEET.png --of backs

Each tile is the source beside the overlay; ``seated`` adds the same people turned by 90 degrees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from human3r.bodies import load_body
from human3r.errors import run_main
from human3r.geometry.camera import project
from human3r.palette import person_color
from human3r.rendering.clip_frames import processed_frames
from human3r.rendering.overlay import OverlayPeople, OverlayStyle, draw_people, people_of_frame
from human3r.results.reconstruction import Reconstruction
from human3r.skeleton import NUM_BODY_JOINTS, Joint

Subject = Literal["backs", "seated", "hands", "all"]

_HEIGHT_PX, _WIDTH_PX = 240, 1800
_BENT_RAD = 0.9
"""Flexion of both hips, on average, from which somebody sits or squats."""
_BACK = 0.4
"""Cosine between heading and view from which somebody turns the back."""
_IN_FRONT = np.array([-np.inf, -np.inf, 0.05])
"""Bound of joints for projection, meters."""
_FORWARD = np.array([0.0, 0.0, 1.0])
_HANDS = ((Joint.LEFT_WRIST, slice(25, 40)), (Joint.RIGHT_WRIST, slice(40, 55)))
"""Wrist and finger joints."""
_STYLE = OverlayStyle(opacity=0.75, draw_labels=False)
_GROUND = 235


@dataclass(frozen=True)
class Sight:
    """One person, or one hand, in one frame."""

    frame: int
    track: int
    joints: tuple[int, ...]
    """Those that the picture shows."""


def find_sights(result: Reconstruction, subject: Subject, count: int) -> list[Sight]:
    """Return at most ``count`` sights of a subject, spread evenly over the result."""
    rows = np.flatnonzero(_shows(result, subject))
    body = tuple(range(NUM_BODY_JOINTS))
    parts = [(wrist, *range(55)[fingers]) for wrist, fingers in _HANDS] if subject == "hands" else [body]
    sights = [
        Sight(int(result.person_frame[row]), int(result.person_track[row]), part) for row in rows for part in parts
    ]
    chosen = np.unique(np.linspace(0, len(sights) - 1, min(count, len(sights))).round().astype(int))
    return [sights[index] for index in chosen] if sights else []


def _shows(result: Reconstruction, subject: Subject) -> np.ndarray:
    """Return ``N`` bool: the observation is one of the subject."""
    from scipy.spatial.transform import Rotation

    if subject == "backs":
        camera = result.T_world_camera[result.person_frame].astype(np.float64)
        view = result.joints_world[:, 0] - camera[:, :3, 3]
        heading = Rotation.from_rotvec(result.global_orient.reshape(-1, 3)).apply(_FORWARD)
        return (heading * view).sum(axis=1) > _BACK * np.linalg.norm(view, axis=1)
    if subject == "seated":
        # Forward flexion is a negative turn about x.
        return -result.body_pose[:, [Joint.LEFT_HIP - 1, Joint.RIGHT_HIP - 1], 0].mean(axis=1) > _BENT_RAD
    return np.ones(len(result.person_frame), dtype=bool)


def draw_sheet(result: Reconstruction, clip: Path, sights: Sequence[Sight], *, from_side: bool) -> Image.Image:
    """Draw a page of tiles, in order of frames."""
    body = load_body(None)
    faces = body.faces.numpy()
    tiles: list[Image.Image] = []
    for frame, image in processed_frames(result, clip):
        for sight in [sight for sight in sights if sight.frame == frame]:
            everybody = people_of_frame(result, frame, body)
            person = _only(everybody, sight.track)
            K = result.K[frame].astype(np.float64)
            pictures = [image, draw_people(image, person, K, faces, _STYLE)]
            if from_side:
                blank = np.full_like(image, _GROUND)
                pictures.append(draw_people(blank, _from_side(person), K, faces, replace(_STYLE, opacity=1.0)))
            box = _box_around(person.joints_camera[0, list(sight.joints)], K, image.shape[:2])
            tiles.append(_tile(pictures, box, f"{frame} #{sight.track + 1}", person_color(sight.track)))
    return _page(tiles)


def _only(people: OverlayPeople, track: int) -> OverlayPeople:
    kept = people.track_id == track
    return OverlayPeople(people.track_id[kept], people.vertices_camera[kept], people.joints_camera[kept])


def _from_side(people: OverlayPeople) -> OverlayPeople:
    """Turn people by 90 degrees about the image's vertical, each about the pelvis."""
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    pelvis = people.joints_camera[:, :1]
    return replace(
        people,
        vertices_camera=(people.vertices_camera - pelvis) @ turn.T + pelvis,
        joints_camera=(people.joints_camera - pelvis) @ turn.T + pelvis,
    )


def _box_around(joints: np.ndarray, K: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a square (left, top, right, bottom) around ``J 3`` joints, inside of the image as far as it goes."""
    pixels = project(np.maximum(joints, _IN_FRONT).astype(np.float64), K)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    half = 0.65 * (high - low).max() + 4
    left, top = np.maximum((low + high) / 2 - half, 0)
    right, bottom = np.minimum((low + high) / 2 + half, (size[1], size[0]))
    return int(left), int(top), max(int(right), int(left) + 8), max(int(bottom), int(top) + 8)


def _tile(
    pictures: Sequence[np.ndarray], box: tuple[int, int, int, int], label: str, color: tuple[int, int, int]
) -> Image.Image:
    parts = [Image.fromarray(picture).crop(box) for picture in pictures]
    parts = [part.resize((max(1, round(part.width * _HEIGHT_PX / part.height)), _HEIGHT_PX)) for part in parts]
    tile = Image.new("RGB", (sum(part.width for part in parts), _HEIGHT_PX))
    left = 0
    for part in parts:
        tile.paste(part, (left, 0))
        left += part.width
    ImageDraw.Draw(tile).text((3, 2), label, fill=color, stroke_width=1, stroke_fill=(0, 0, 0))
    return tile


def _page(tiles: Sequence[Image.Image]) -> Image.Image:
    """Pack tiles of one height into lines."""
    places: list[tuple[int, int]] = []
    left = top = 0
    for tile in tiles:
        if left and left + tile.width > _WIDTH_PX:
            left, top = 0, top + _HEIGHT_PX
        places.append((left, top))
        left += tile.width
    page = Image.new("RGB", (_WIDTH_PX, top + _HEIGHT_PX), (40, 40, 40))
    for tile, place in zip(tiles, places, strict=True):
        page.paste(tile, place)
    return page


def main(arguments: list[str] | None = None) -> int:
    """Write a sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--of", choices=("backs", "seated", "hands", "all"), default="all")
    parser.add_argument("--count", type=int, default=24, help="tiles at most")
    options = parser.parse_args(arguments)
    result = Reconstruction.load(options.result)
    sights = find_sights(result, options.of, options.count)
    draw_sheet(result, options.clip, sights, from_side=options.of == "seated").save(options.sheet)
    sys.stdout.write(f"{options.sheet}: {len(sights)} of {options.of}\n")
    return 0


if __name__ == "__main__":
    run_main(main)
