"""Make the input of ``record_movenet.mjs`` and pack its output into ``movenet_golden.safetensors``.

python pack_movenet_golden.py picture CLIP FRAME_INDEX picture.json
python pack_movenet_golden.py pack picture.json recorded.json movenet_golden.safetensors
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from safetensors.torch import save_file

SIZE = (128, 96)
"""(height, width) of the image: small, so that the file stays under 200 kB."""


def make_picture(clip: str, frame_index: int, output: Path) -> None:
    """Resize one frame of a clip to ``SIZE`` and write it as JSON."""
    frame = torch.from_numpy(imageio.imread(clip, index=frame_index, plugin="pyav")).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(frame, SIZE, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    picture = small.round().clamp(0, 255).to(torch.uint8)
    output.write_text(json.dumps({"shape": list(picture.shape), "data": picture.flatten().tolist()}))


def pack(picture_path: Path, recorded_path: Path, output: Path) -> None:
    """Store the picture as uint8 and the maps as fp16."""
    picture = json.loads(picture_path.read_text())
    tensors = {"picture": torch.tensor(picture["data"], dtype=torch.uint8).reshape(picture["shape"])}
    for name, entry in json.loads(recorded_path.read_text()).items():
        values = torch.from_numpy(np.asarray(entry["data"], dtype=np.float32).reshape(entry["shape"]))
        tensors[name] = values if name == "decoded" else values.half()
    save_file(tensors, output)


if __name__ == "__main__":
    if sys.argv[1] == "picture":
        make_picture(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        pack(*map(Path, sys.argv[2:5]))
