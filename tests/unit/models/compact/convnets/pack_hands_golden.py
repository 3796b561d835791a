"""Make the picture for ``record_hands.mjs`` and pack its answer into ``hands_golden.safetensors``.

python pack_hands_golden.py picture CLIP FRAME_INDEX LEFT TOP SIDE picture.json
python pack_hands_golden.py pack picture.json recorded.json hands_golden.safetensors
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from safetensors.torch import save_file

HALF = (112, 112)
"""The picture is stored at half of its size, so that the file stays small."""


def make_picture(clip: str, frame_index: int, place: tuple[int, int, int], output: Path) -> None:
    """Cut (left, top, side) out of one frame, turn it upside down, resize it to 224 x 224 and write it as JSON."""
    left, top, side = place
    frame = torch.from_numpy(imageio.imread(clip, index=frame_index, plugin="pyav"))
    square = frame[top : top + side, left : left + side].flip(0, 1).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(square, HALF, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    picture = small.round().clamp(0, 255).to(torch.uint8).repeat_interleave(2, 0).repeat_interleave(2, 1)
    output.write_text(json.dumps({"shape": list(picture.shape), "data": picture.flatten().tolist()}))


def pack(picture_path: Path, recorded_path: Path, output: Path) -> None:
    """Store every second pixel of the picture and the recorded outputs."""
    stored = json.loads(picture_path.read_text())
    picture = torch.tensor(stored["data"], dtype=torch.uint8).reshape(stored["shape"])
    tensors = {"picture": picture[::2, ::2].contiguous()}
    for name, entry in json.loads(recorded_path.read_text()).items():
        tensors[name] = torch.from_numpy(np.asarray(entry["data"], dtype=np.float32).reshape(entry["shape"]))
    save_file(tensors, output)


if __name__ == "__main__":
    if sys.argv[1] == "picture":
        clip, frame_index, *place, output = sys.argv[2:]
        make_picture(clip, int(frame_index), (int(place[0]), int(place[1]), int(place[2])), Path(output))
    else:
        pack(*map(Path, sys.argv[2:]))
