"""Score the shot detector: generated cuts, dissolves and fades, and what only looks like them, from a folder of clips.

    python -m tests.soak.shot_changes FOLDER [COUNT] [live]

Prints found, missed and wrong beginnings per kind, and F1; COUNT (20) examples per kind. With ``live`` it scores the
detector of streams, which begins a shot late by its patience.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from human3r.records import Frame
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.shots.division import find_shots
from human3r.video.shots.live import PATIENCE_S, LiveShots

_SIZE = (112, 192)
_CUTS, _OTHERS = ("cut", "dissolve", "fade"), ("flash", "exposure", "whip pan", "passer-by")
_LENGTH, _FPS = 24, 25


def read_clips(folder: Path) -> list[np.ndarray]:
    """Return ``T 112 192 3`` float frames of every clip of the folder."""
    clips = []
    for path in sorted(folder.glob("*.mp4")):
        with FrameReader(path, Sampling(max_frames=120)) as reader:
            clips.append(
                np.stack([np.asarray(Image.fromarray(frame.image).resize(_SIZE[::-1])) for frame in reader]).astype(
                    float
                )
            )
    return clips


def changed(clips: list[np.ndarray], kind: str, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the frames of a change from one clip to another, and the first and last frame of the change."""
    first, second = rng.choice(len(clips), 2, replace=False)
    a, b = clips[first][:_LENGTH], clips[second][:_LENGTH]
    if kind == "cut":
        return np.concatenate([a, b]), (len(a), len(a))
    length = int(rng.integers(4, 14))
    share = np.linspace(0, 1, length + 2)[1:-1, None, None, None]
    if kind == "dissolve":
        mixed = a[-1] * (1 - share) + b[0] * share
    else:
        mixed = np.concatenate([a[-1] * (1 - share), b[0] * share])
    return np.concatenate([a, mixed, b]), (len(a), len(a) + len(mixed))


def unchanged(clips: list[np.ndarray], kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return the frames of one clip with something that looks like a change."""
    frames = clips[rng.integers(len(clips))][: 2 * _LENGTH].copy()
    start, width = int(rng.integers(10, 18)), _SIZE[1]
    if kind == "flash":
        frames[start : start + int(rng.integers(1, 5))] += rng.uniform(80, 255)
    elif kind == "exposure":
        frames[start:] *= rng.choice([rng.uniform(0.35, 0.7), rng.uniform(1.4, 2.5)])
    elif kind == "whip pan":
        wide = np.concatenate([frames, frames[:, :, ::-1], frames], axis=2)
        steps = np.clip(np.arange(len(frames)) - start, 0, 8) * (width // 8)
        frames = np.stack([one[:, left : left + width] for one, left in zip(wide, steps, strict=True)])
    else:
        color, step = rng.uniform(5, 120, 3), int(rng.integers(16, 48))
        for number, left in enumerate(range(-width, width, step)):
            if start + number < len(frames):
                frames[start + number, :, max(0, left) : max(0, left + width)] = color
    return frames


def beginnings(frames: np.ndarray, *, is_live: bool) -> list[int]:
    """Return the frames that begin a shot."""
    images = np.clip(frames, 0, 255).astype(np.uint8)
    given = (Frame(image, index, index / _FPS) for index, image in enumerate(images))
    found = filter(None, map(LiveShots().take, given)) if is_live else find_shots(given)
    return [frame.frame_index for frame in found if frame.begins_shot]


def main(folder: str, count: str = "20", mode: str = "") -> None:
    """Print the table."""
    is_live = mode == "live"
    late = 2 + round(PATIENCE_S * _FPS) * is_live
    clips, rng = read_clips(Path(folder)), np.random.default_rng(0)
    totals = np.zeros(3, int)
    for kind in (*_CUTS, *_OTHERS):
        row = np.zeros(3, int)
        for _ in range(int(count)):
            frames, span = changed(clips, kind, rng) if kind in _CUTS else (unchanged(clips, kind, rng), None)
            found = beginnings(frames, is_live=is_live)
            hits = [] if span is None else [one for one in found if span[0] - 2 <= one <= span[1] + late]
            row += [bool(hits), span is not None and not hits, len(found) - bool(hits)]
        totals += row
        print(f"{kind:10} found {row[0]:3} missed {row[1]:3} wrong {row[2]:3}", flush=True)
    print(f"F1 {2 * totals[0] / (2 * totals[0] + totals[1] + totals[2]):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
