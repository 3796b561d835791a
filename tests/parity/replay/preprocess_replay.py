"""Replays recorded image preparation: resize, crop, padded square, and the way back from the square."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

import PIL
import torch
from torch import Tensor

from human3r.models.paper.letterbox import content_box, letterbox, letterbox_map_to_image, letterbox_points_to_image
from human3r.video.orientation import from_exif
from human3r.video.preprocess import PreparedImage, prepare_paper
from tests.parity.replay.clip import draw_frame
from tests.parity.replay.rows import EXACT, FUNCTION_TOLERANCE, RowCollector

RECORDED_PILLOW = "13.0.0"
_GRAY_LEVEL = 2 / 255 + 1e-6
"""One gray level in [-1, 1], absolute: another version of Pillow may round by so much."""


def replay_preprocess(tensors: Mapping[str, Tensor], cases: list[dict], collector: RowCollector) -> None:
    """Compare every case; ``cases`` is the JSON beside the tensors."""
    known: set[str] = set()
    for case in cases:
        prefix = f"{case['case']}/"
        recorded = {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}
        drawn = draw_frame((case["H"], case["W"]), case["frame_index"], case["clip_seed"])
        upright = from_exif(case.get("exif_orientation", 1)).apply(drawn)
        prepared = prepare_paper(upright, case["size"])
        known.update(f"{prefix}{name}" for name in _replay_case(prefix, recorded, prepared, collector))
    collector.fail_unknown(tensors, known)


def _statistics(image: Tensor) -> Tensor:
    return torch.stack((image.mean((-1, -2)), image.std((-1, -2))))


def _replay_case(
    prefix: str, recorded: Mapping[str, Tensor], prepared: PreparedImage, collector: RowCollector
) -> set[str]:
    image = prepared.image[None]
    size = (image.shape[-2], image.shape[-1])
    checksum = torch.tensor([zlib.crc32(prepared.image_uint8.tobytes())])
    is_same = torch.equal(checksum, recorded.get("img_u8_crc32", checksum))
    may_differ = PIL.__version__ != RECORDED_PILLOW and not is_same
    pixels = _GRAY_LEVEL if may_differ else FUNCTION_TOLERANCE
    found: dict[str, tuple[Tensor, float]] = {
        "true_shape": (torch.tensor([size]), EXACT),
        "img_stride8": (image[..., ::8, ::8], pixels),
        "img_mean_std": (_statistics(image[0]), pixels),
        "img_u8_crc32": (recorded["img_u8_crc32"] if may_differ else checksum, EXACT),
    }
    for side in {int(match[1]) for match in map(re.compile(r"[a-z]+(\d+)_").match, recorded) if match}:
        square = letterbox(image, side)
        found[f"mhmr{side}_stride16"] = (square[..., 3::16, 5::16], pixels)
        found[f"mhmr{side}_mean_std"] = (_statistics(square[0]), pixels)
        found[f"mhmr{side}_content_box_y0y1x0x1"] = (torch.tensor(content_box(size, side)), EXACT)
        if f"uv{side}_in" in recorded:
            mapped = letterbox_points_to_image(recorded[f"uv{side}_in"], side, size)
            found[f"uv{side}_out"] = (mapped, FUNCTION_TOLERANCE)
        if f"scoremap{side}_in" in recorded:
            score = letterbox_map_to_image(recorded[f"scoremap{side}_in"], size)
            found[f"scoremap{side}_unpadded_stride8"] = (score[:, ::8, ::8], EXACT)
    for name, (values, tolerance) in found.items():
        if name in recorded:
            collector.compare(prefix + name, values, recorded[name], tolerance, is_absolute=tolerance == _GRAY_LEVEL)
    inputs = {name for name in recorded if name.endswith("_in")}
    return found.keys() | inputs
