"""Once at full size: a checkpoint of the exact released layout, 3.4 GB, with an OmegaConf object beside the tensors.

``pytest -m slow tests/unit/assets`` runs it (with ``omegaconf`` installed, 8 GB of disk and 6 GB of memory) and prints
what it measured.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from human3r.assets.conversion.convert import network_layout
from human3r.assets.weight_file import WeightFile
from human3r.errors import AssetIntegrityError
from human3r.models.config import PRESETS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PRESET = "human3r_672s"
WATCHED = """
import sys
from pathlib import Path
from human3r.assets.conversion.convert import convert_here
convert_here(Path(sys.argv[1]), Path(sys.argv[2]))
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""
"""The worker's job, and the peak of its own memory in kB; ``getrusage`` would report the parent's."""
CONSTRUCTOR = (
    "ARCroco3DStereo(ARCroco3DStereoConfig(state_size=768, state_pe='2d', pos_embed='RoPE100', rgb_head=True, "
    "pose_head=True, msk_head=True, patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), head_type='dpt', "
    "output_mode='pts3d+pose+smpl', depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), "
    "pose_mode=('exp', -inf, inf), enc_embed_dim=1024, enc_depth=24, enc_num_heads=16, dec_embed_dim=768, "
    "dec_depth=12, dec_num_heads=12, state_dec_num_heads=16, backbone='dinov2_vits14', mhmr_img_res=672, "
    "landscape_only=False))"
)


def values_of(key: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers that differ from key to key and are quick to make."""
    numel = int(np.prod(shape, dtype=np.int64))
    block = torch.rand(min(numel, 4099), generator=torch.Generator().manual_seed(len(key) + sum(key.encode())))
    return block.repeat(-(-numel // max(len(block), 1)))[:numel].reshape(shape).clone() if numel else torch.zeros(shape)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    omegaconf = pytest.importorskip("omegaconf")
    folder = tmp_path_factory.mktemp("full")
    source, target = folder / "human3r_672S.pth", folder / "human3r_672s.safetensors"
    shapes, layout = network_layout(PRESETS[PRESET])
    state = {key: values_of(key, shapes[name]) for key, name in layout.mapped.items()}
    state |= {key: torch.ones(shape) for key, shape in layout.ignored.items()}
    state |= {alias: state[key] for alias, key in layout.aliases.items()}
    torch.save({"args": omegaconf.OmegaConf.create({"model": CONSTRUCTOR, "lr": 5e-5}), "model": state}, source)
    del state
    begin = time.perf_counter()
    answer = subprocess.run([sys.executable, "-c", WATCHED, source, target], capture_output=True, text=True, check=True)
    seconds, peak, size = time.perf_counter() - begin, int(answer.stdout) * 1024, source.stat().st_size
    print(f"\n{size / 1e9:.2f} GB converted in {seconds:.0f} s, peak memory {peak / 1e9:.2f} GB", file=sys.stderr)
    assert peak <= 1.3 * size
    source.unlink()
    return target


def test_every_tensor_arrives_under_our_name(converted: Path) -> None:
    shapes, layout = network_layout(PRESETS[PRESET])
    file = WeightFile(converted)
    assert set(file.names) == shapes.keys()
    for key, name in layout.mapped.items():
        assert torch.equal(_read(file, name), values_of(key, shapes[name]))


def test_twenty_of_twenty_flipped_bytes_are_refused(converted: Path) -> None:
    with converted.open("r+b") as stream:
        first = 8 + int.from_bytes(stream.read(8), "little")
        for position in np.random.default_rng(0).integers(first, converted.stat().st_size, 20):
            _flip(stream, int(position))
            with pytest.raises(AssetIntegrityError):
                _read_all(converted)
            _flip(stream, int(position))


def _read_all(path: Path) -> None:
    file = WeightFile(path)
    for name in file.names:
        _read(file, name)


def _read(file: WeightFile, name: str) -> Tensor:
    values = torch.empty(file.shape(name))
    file.read_into(name, values)
    return values


def _flip(stream: object, position: int) -> None:
    stream.seek(position)
    byte = stream.read(1)[0]
    stream.seek(position)
    stream.write(bytes([byte ^ 0x20]))
    stream.flush()
