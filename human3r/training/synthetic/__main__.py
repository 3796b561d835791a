"""``python -m human3r.training.synthetic``: write clips to a folder; existing clips are kept."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from human3r.atomic import whole_or_absent
from human3r.errors import run_main
from human3r.training.clip import SyntheticClip, clip_folders, read_clip, write_clip
from human3r.training.synthetic.generate import SPLITS, default_furniture, generate_shots, open_studio

_CELL = (192, 256)
"""(height, width) of a thumbnail, pixels."""
_COLUMNS = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="human3r.training.synthetic", description="Render clips with exact ground truth."
    )
    parser.add_argument("out", type=Path, help="folder of the clips; each becomes a folder OUT/SPLIT/NNNNNN")
    parser.add_argument(
        "--split", choices=SPLITS, default="train", help="validation uses its own models, motions and skies"
    )
    parser.add_argument(
        "--layout",
        choices=("compact", "bedlam"),
        default="compact",
        help="files to write; bedlam: OUT/Training, OUT/Test",
    )
    parser.add_argument("--count", type=int, default=100, help="number of clips")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--frames", type=int, default=6, help="frames per clip")
    parser.add_argument("--frame-s", type=float, help="seconds between frames (default: drawn from 0.1 to 0.45)")
    parser.add_argument("--shots", type=int, default=1, help="cameras per scene; each gives a clip NNNNNN_K")
    parser.add_argument("--furniture", type=Path, default=default_furniture(), help="folder of Sweet Home 3D libraries")
    parser.add_argument("--hdri", type=Path, help="folder hdri of the npm package @pmndrs/assets 1.7.0")
    parser.add_argument("--motion", type=Path, help="folder of motion files (default: those of the wheel pybullet)")
    parser.add_argument("--cache", type=Path, help="working folder for parsed furniture (default: OUT/assets)")
    parser.add_argument("--contact-sheet", type=Path, help="also write a page of thumbnails of the last 16 clips")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    return parser


def _run(options: argparse.Namespace) -> int:
    studio = open_studio(options.furniture, options.hdri, options.motion, options.cache or options.out / "assets")
    root, prefix, write = options.out / options.split, "", write_clip
    if options.layout == "bedlam":
        # Only this layout needs the paper's training code.
        from human3r.training.paper.data.rendered import SEQUENCE_PREFIX, SPLIT_FOLDERS, write_sequence

        root, prefix, write = options.out / SPLIT_FOLDERS[options.split], SEQUENCE_PREFIX, write_sequence
    begin, cpu, frames = time.monotonic(), time.process_time(), 0
    for seed in range(options.start, options.start + options.count):
        folders = shot_folders(root, f"{prefix}{seed:06d}", options.shots)
        if all(folder.exists() for folder in folders):
            continue
        if time.monotonic() - begin > options.seconds:
            break
        shots = generate_shots(studio, seed, options.split, options.frames, options.shots, options.frame_s)
        for folder, clip in zip(folders, shots, strict=True):
            write(folder, clip)
            frames += len(clip)
        if seed % 10 == 9:
            rates = frames / (time.monotonic() - begin), frames / (time.process_time() - cpu)
            print(f"{seed + 1}: {frames} frames, {rates[0]:.1f} frames/s ({rates[1]:.1f} per CPU second)", flush=True)
    if options.contact_sheet and options.layout == "compact":
        write_contact_sheet(options.contact_sheet, clip_folders(root)[-16:])
    return 0


def shot_folders(root: Path, name: str, num_shots: int) -> list[Path]:
    """Return the folder of every clip of one scene."""
    return [root / name] if num_shots == 1 else [root / f"{name}_{shot}" for shot in range(num_shots)]


def write_contact_sheet(path: Path, folders: list[Path]) -> None:
    """Write one image with four thumbnails per clip, two clips side by side."""
    rows = [_clip_strip(read_clip(folder)) for folder in folders]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % _COLUMNS)
    starts = range(0, len(rows), _COLUMNS)
    sheet = np.concatenate([np.concatenate(rows[first : first + _COLUMNS], 1) for first in starts])
    with whole_or_absent(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def _clip_strip(clip: SyntheticClip) -> np.ndarray:
    """Return image, depth, people and the last image side by side, uint8."""
    depth = clip.depth[0]
    nearness = np.where(depth > 0, 1 / np.maximum(depth, 0.3), 0)
    gray = (255 * nearness / max(float(nearness.max()), 1e-6)).astype(np.uint8)
    palette = np.array(
        [[0, 0, 0], [230, 60, 60], [60, 200, 80], [70, 110, 240], [230, 200, 50], [200, 80, 220], [60, 210, 220]]
    )
    people = palette[clip.person_index[0] % len(palette)].astype(np.uint8)
    cells = (clip.image[0], np.repeat(gray[..., None], 3, -1), people, clip.image[-1])
    return np.concatenate([_fit(cell) for cell in cells], 1)


def _fit(image: np.ndarray) -> np.ndarray:
    return np.asarray(ImageOps.pad(Image.fromarray(image), (_CELL[1], _CELL[0])))


if __name__ == "__main__":
    run_main(main)
