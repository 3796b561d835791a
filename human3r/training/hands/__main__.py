"""Render hands, fit the finger readout, print its errors on held-out scenes, and write it to ``compact``.

    python -m human3r.training.hands runs/hands --scenes 240 --held-out 60 --ship

One file per scene; an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from human3r.assets.shards import COMPACT_FOLDER, read_module, write_part
from human3r.bodies import load_body
from human3r.errors import run_main
from human3r.models.compact.convnets.convolution import fuse_convolutions
from human3r.models.compact.people.hands.hand_detector import CropHandDetector
from human3r.skeleton import FINGERS
from human3r.training.hands.fit import fit_readout, score, used_hands
from human3r.training.hands.rendered_hands import RenderedHands, open_hand_studio, render_hands
from human3r.training.priors.hands import PARAMETER_PREFIX
from human3r.training.synthetic.generate import default_furniture

_READOUT_PREFIX = "hand_detector.fingers."
_LICENSE = "Apache-2.0; fitted by this project to its own renders"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the network's output on the hands of every scene")
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--held-out", type=int, default=60, help="scenes of other furniture and motions")
    parser.add_argument("--motion", type=Path, default=None, help="motion files; default: those of pybullet")
    parser.add_argument("--ship", action="store_true", help="write the readout to the weights of compact")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"train_{seed:04d}": (seed, False) for seed in range(options.scenes)}
    wanted |= {f"val_{seed:04d}": (seed, True) for seed in range(options.held_out)}
    missing = {name: scene for name, scene in wanted.items() if not (options.folder / f"{name}.done").exists()}
    if missing:
        _render(options.folder, missing, options.motion)
    splits = [[options.folder / f"{name}.npz" for name in wanted if name.startswith(split)] for split in ("tr", "val")]
    train, held_out = (used_hands(RenderedHands.load([path for path in paths if path.exists()])) for paths in splits)
    body = load_body()
    readout = fit_readout(train, body)
    sys.stdout.write(f"{len(train.points)} hands, {len(held_out.points)} held out; degrees by joint\n")
    for name, angles in score(readout, held_out).items():
        fingers = zip(FINGERS, angles.reshape(5, 3), strict=True)
        each = "  ".join(f"{finger} " + " ".join(f"{angle:.1f}" for angle in joints) for finger, joints in fingers)
        sys.stdout.write(f"{name:20s} mean {angles.mean():.1f}  {each}\n")
    if options.ship:
        tensors = {f"{_READOUT_PREFIX}{name}": values for name, values in readout.state_dict().items()}
        write_part(COMPACT_FOLDER, "fingers", tensors, {"license": _LICENSE})
    return 0


def _render(folder: Path, scenes: dict[str, tuple[int, bool]], motion: Path | None) -> None:
    detector = CropHandDetector().eval()
    detector.network.load_state_dict(read_module(PARAMETER_PREFIX))
    detector.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fuse_convolutions(detector.network)
    studio = open_hand_studio(default_furniture(), motion, folder / "furniture")
    for name, (seed, is_validation) in scenes.items():
        hands = render_hands(studio, detector, seed, is_validation)
        if hands is not None:
            hands.save(folder / f"{name}.npz")
        (folder / f"{name}.done").touch()
        sys.stdout.write(f"{name}: {0 if hands is None else len(hands.points)} hands\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_main(main)
