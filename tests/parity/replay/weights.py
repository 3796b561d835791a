"""The weights of the recordings: every tensor follows from its released key, its shape and a salt."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from human3r.assets.conversion.convert import fill_network, network_layout
from human3r.assets.conversion.convert_tensors import match_keys
from human3r.errors import FormatError
from human3r.models.config import ModelConfig, PaperConfig
from human3r.models.human3r import Human3R
from human3r.models.paper.released_config import released_config
from tests.parity.replay.rows import RowCollector

_HEAD = "downstream_head."
_REGRESSORS = tuple(f"{_HEAD}{name}.mlp.layers.2.weight" for name in ("decpose", "decshape", "decexpression", "deccam"))
_POINT_HEADS = tuple(f"{_HEAD}{name}.head.4" for name in ("dpt_self", "dpt_cross"))
_SMALL = (f"{_HEAD}pose_head.mlp.fc2.weight", *(f"{name}.weight" for name in _POINT_HEADS), *_REGRESSORS)
_OFFSETS = {
    f"{_HEAD}pose_head.mlp.fc2.bias": (0, 0, 0, 1, 0, 0, 0),
    f"{_HEAD}deccam.mlp.layers.2.bias": (0, 0, 1),
    **{f"{name}.bias": (0, 0, 1, 0) for name in _POINT_HEADS},
}
_CHECKSUM_TOLERANCE = 1e-6


def fill(key: str, shape: tuple[int, ...], salt: str, det_bias: float) -> Tensor:
    """Return the tensor of a released key; aliases go by the name of ``scratch.layer_rn``."""
    source = _alias_source(key)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + source).encode())))
    noise = generator.standard_normal(shape)
    values = _shaped(source, noise)
    if key in _SMALL:
        values = 0.3 * values
    if key in _OFFSETS:
        values = values + np.array(_OFFSETS[key])
    if key == f"{_HEAD}mlp_classif.2.weight":
        values = 4 * values
    if key == f"{_HEAD}mlp_classif.2.bias":
        values = values + det_bias
    return torch.from_numpy(np.ascontiguousarray(values.astype(np.float32)))


def _alias_source(key: str) -> str:
    for level in range(4):
        if key.endswith(f"scratch.layer{level + 1}_rn.weight"):
            return key.replace(f"layer{level + 1}_rn", f"layer_rn.{level}")
    return key


def _shaped(key: str, noise: np.ndarray) -> np.ndarray:
    """Scale standard normal noise by the kind of tensor: the first rule that fits."""
    if key == f"{_HEAD}init_body_pose":
        return np.tile((1.0, 0, 0, 1, 0, 0), 53)[None] + 0.1 * noise
    if key.endswith(".gamma"):
        return 0.5 + 0.1 * noise
    if noise.ndim == 1:
        return 1 + 0.1 * noise if key.endswith(".weight") else 0.05 * noise
    if noise.ndim >= 2 and key.endswith(".weight") and key != "register_tokens.weight":
        return noise / np.sqrt(np.prod(noise.shape[1:]))
    return 0.5 * noise


class RecordedWeights:
    """The weights of one recorded network.

    Args:
        folder: Holds ``meta.json``, ``state_dict_keys.json`` and ``weight_checksums.json``.

    Raises:
        FormatError: A file is missing or is not JSON.
        CheckpointError: The keys are not those of a network that we can build.
    """

    def __init__(self, folder: Path) -> None:
        self.meta = read_json(folder / "meta.json")
        keys = read_json(folder / "state_dict_keys.json")
        self.shapes = {key: tuple(shape) for key, (shape, _) in keys.items()}
        self.checksums = read_json(folder / "weight_checksums.json")
        self.salt = str(self.meta.get("weight_salt", self.meta.get("SALT", self.meta.get("salt", ""))))
        self.config = self._config()
        self._cache: dict[str, Tensor] = {}

    def network(self, det_bias: float, *, has_half_rotary: bool) -> Human3R:
        """Return the network of a run."""
        shapes, layout = network_layout(self.config)
        keys = match_keys(self.shapes, layout, shapes)
        parts = replace(self._parts(), has_half_rotary=has_half_rotary)
        tensors = {name: self.tensor(key, det_bias) for name, key in keys.items()}
        return fill_network(replace(self.config, parts=parts), tensors)

    def tensor(self, key: str, det_bias: float) -> Tensor:
        """Return the tensor of a released key."""
        shape = self.shapes[key]
        if key == f"{_HEAD}mlp_classif.2.bias":
            return fill(key, shape, self.salt, det_bias)
        if key not in self._cache:
            self._cache[key] = fill(key, shape, self.salt, 0.0)
        return self._cache[key]

    def check(self, collector: RowCollector) -> None:
        """Compare every tensor with its recorded [sum, sum of absolute values, first, last]."""
        for key, expected in self.checksums.items():
            if key not in self.shapes:
                collector.fail("weight_checksums", f"{key} is no key of the state dict")
                continue
            values = self.tensor(key, float(self.meta["det_bias"])).double().flatten()
            found = torch.stack((values.sum(), values.abs().sum(), values[0], values[-1]))
            scale = max(float(values.abs().sum()), 1e-12)
            error = (found - torch.tensor(expected, dtype=torch.float64)).abs()
            limits = torch.tensor([scale, scale, values.abs().max() + 1e-12, values.abs().max() + 1e-12])
            worst = float((error / limits).max())
            collector.check("weight_checksums", worst < _CHECKSUM_TOLERANCE, f"{key} is off by {worst:.1e}")
        for key in sorted(self.shapes.keys() - self.checksums.keys()):
            collector.fail("weight_checksums", f"{key} has no checksum")

    def _parts(self) -> PaperConfig:
        assert isinstance(self.config.parts, PaperConfig)
        return self.config.parts

    def _config(self) -> ModelConfig:
        arguments: Mapping[str, object] = {
            key: _read_infinities(value) for key, value in self.meta["hyper_parameters"].items()
        }
        backbone = self.meta.get("backbone", {})
        config = released_config(
            "recorded",
            arguments,
            self.shapes,
            human_image_size=int(self.meta["hyper_parameters"]["mhmr_img_res"]),
            human_heads=backbone.get("num_heads"),
        )
        parts = config.parts
        assert isinstance(parts, PaperConfig)
        parts = replace(
            parts,
            human_interpolate_offset=float(backbone.get("interpolate_offset", parts.human_interpolate_offset)),
            detection_threshold=float(self.meta.get("det_threshold", parts.detection_threshold)),
        )
        return replace(config, image_size=int(self.meta["size"]), parts=parts)


def _read_infinities(value: object) -> object:
    """JSON has no infinities: the recordings spell them."""
    if isinstance(value, list):
        return tuple(_read_infinities(item) for item in value)
    return float(value) if value in ("inf", "-inf") else value


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises:
        FormatError: The file is missing or something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"The golden folder has no readable {path.name} ({error}).") from error
    if not isinstance(values, (dict, list)):
        raise FormatError(f"{path.name} of the golden folder is no JSON object.")
    return values
