"""Make the picture for ``record_movenet.mjs`` and pack its answer into a ``*_golden.safetensors``.

python pack_movenet_golden.py picture CLIP FRAME_INDEX picture.json
python pack_movenet_golden.py square CLIP FRAME_INDEX LEFT TOP SIDE picture.json
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
from torch import Tensor

SIZE = (128, 96)
"""(height, width) of the picture of MultiPose: small, so that the file stays under 200 kB."""
HALF_SQUARE = (128, 128)
"""The picture of Thunder is stored at half of its size, for the same reason."""
KEPT = 4
"""Of Thunder's maps every so many rows and columns are stored."""


def make_picture(clip: str, frame_index: int, output: Path) -> None:
    """Resize one frame of a clip to ``SIZE`` and write it as JSON."""
    _write(_resized(_read(clip, frame_index), SIZE), output)


def make_square(clip: str, frame_index: int, place: tuple[int, int, int], output: Path) -> None:
    """Cut (left, top, side) out of one frame, resize it to 256 x 256 and write it as JSON."""
    left, top, side = place
    frame = _read(clip, frame_index)[..., top : top + side, left : left + side]
    _write(_resized(frame, HALF_SQUARE).repeat_interleave(2, 0).repeat_interleave(2, 1), output)


def pack(picture_path: Path, recorded_path: Path, output: Path) -> None:
    """Store the picture as uint8 and the maps as fp16, those of Thunder thinned out."""
    stored = json.loads(picture_path.read_text())
    picture = torch.tensor(stored["data"], dtype=torch.uint8).reshape(stored["shape"])
    is_square = picture.shape[0] == picture.shape[1]
    tensors = {"picture": picture[::2, ::2].contiguous() if is_square else picture}
    for name, entry in json.loads(recorded_path.read_text()).items():
        values = torch.from_numpy(np.asarray(entry["data"], dtype=np.float32).reshape(entry["shape"]))
        if name == "decoded":
            tensors[name] = values
        else:
            tensors[name] = (values[:, ::KEPT, ::KEPT] if is_square else values).half().contiguous()
    save_file(tensors, output)


def _read(clip: str, frame_index: int) -> Tensor:
    frame = torch.from_numpy(imageio.imread(clip, index=frame_index, plugin="pyav"))
    return frame.permute(2, 0, 1)[None].float()


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    small = torch.nn.functional.interpolate(frame, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    return small.round().clamp(0, 255).to(torch.uint8)


def _write(picture: Tensor, output: Path) -> None:
    output.write_text(json.dumps({"shape": list(picture.shape), "data": picture.flatten().tolist()}))


if __name__ == "__main__":
    if sys.argv[1] == "picture":
        make_picture(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    elif sys.argv[1] == "square":
        left, top, side = map(int, sys.argv[4:7])
        make_square(sys.argv[2], int(sys.argv[3]), (left, top, side), Path(sys.argv[7]))
    else:
        pack(*map(Path, sys.argv[2:5]))
