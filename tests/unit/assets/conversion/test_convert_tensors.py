"""Released checkpoints are converted strictly, whatever their configuration was pickled as."""

from __future__ import annotations

import argparse
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from human3r.assets.conversion import convert
from human3r.assets.conversion.child import convert_in_child
from human3r.assets.conversion.convert import convert_checkpoint, convert_here, load_network, network_layout
from human3r.assets.conversion.convert_tensors import parse_constructor
from human3r.assets.conversion.released_keys import released_layout
from human3r.errors import CheckpointError
from human3r.models.build import build_network, seed_weights
from human3r.models.config import PRESETS
from human3r.models.human3r import Human3R

CONSTRUCTOR = (
    "ARCroco3DStereo(ARCroco3DStereoConfig(state_size=30, state_pe='2d', pos_embed='RoPE100', rgb_head=True, "
    "pose_head=True, msk_head=True, patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), head_type='dpt', "
    "output_mode='pts3d+pose+smpl', depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), "
    "pose_mode=('exp', -inf, inf), enc_embed_dim=64, enc_depth=3, enc_num_heads=4, dec_embed_dim=48, dec_depth=4, "
    "dec_num_heads=3, state_dec_num_heads=2, backbone='dinov2_vitl14', mhmr_img_res=224, landscape_only=False))"
)
CONFIG = PRESETS["tiny"]


@pytest.fixture(autouse=True)
def _in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert without the child process, which has a test of its own."""
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(convert, "convert_in_child", lambda kind, source, target: convert_here(source, target))


@pytest.fixture(scope="module")
def network() -> Human3R:
    network = build_network(CONFIG)
    seed_weights(network)
    return network.requires_grad_(False)


@pytest.fixture
def released(network: Human3R) -> OrderedDict[str, Tensor]:
    """The network's weights as a released state dict."""
    weights = network.state_dict()
    _, layout = network_layout(CONFIG)
    state = OrderedDict((key, weights[name]) for key, name in layout.mapped.items())
    state.update({key: torch.ones(shape) for key, shape in layout.ignored.items()})
    state.update({alias: state[key] for alias, key in layout.aliases.items()})
    return state


@pytest.fixture
def save(tmp_path: Path, released: OrderedDict[str, Tensor]) -> Callable[..., Path]:
    """Write a checkpoint; by default a good one."""

    def write(args: object = None, name: str = "human3r_672S.pth", **entries: object) -> Path:
        path = tmp_path / name
        args = {"model": CONSTRUCTOR} if args is None else args
        torch.save({"args": args, "model": released, "epoch": 7, **entries}, path)
        return path

    return write


@pytest.fixture
def vanishing_module() -> Iterator[types.ModuleType]:
    """A module with configuration classes that is gone when the file is read."""
    module = types.ModuleType("vanishing_configuration")

    class AnyNode:
        def __init__(self, value: object) -> None:
            self._val = value
            self._parent = None

    class DictConfig:
        def __init__(self, values: dict[str, object]) -> None:
            self.__dict__["_metadata"] = AnyNode("metadata")
            self.__dict__["_content"] = {key: AnyNode(value) for key, value in values.items()}

    for class_ in (AnyNode, DictConfig):
        class_.__module__, class_.__qualname__ = module.__name__, class_.__name__
        setattr(module, class_.__name__, class_)
    sys.modules[module.__name__] = module
    yield module
    sys.modules.pop(module.__name__, None)


def _equal(network: Human3R, other: Human3R) -> bool:
    weights = network.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in other.state_dict().items())


def _convert(path: Path) -> Human3R:
    target = path.with_suffix(".safetensors")
    convert_here(path, target)
    return load_network(target, is_lean=False)


@pytest.mark.parametrize("kind", [dict, types.SimpleNamespace, argparse.Namespace])
def test_plain_configurations_are_read(network: Human3R, save: Callable[..., Path], kind: type) -> None:
    assert _equal(network, _convert(save(kind(model=CONSTRUCTOR, lr=1e-4))))


def test_a_configuration_of_an_unknown_class_is_read_as_data(
    network: Human3R, save: Callable[..., Path], vanishing_module: types.ModuleType
) -> None:
    path = save(vanishing_module.DictConfig({"model": CONSTRUCTOR, "lr": 1e-4}))
    del sys.modules[vanishing_module.__name__]
    converted = _convert(path)
    assert vanishing_module.__name__ not in sys.modules
    assert _equal(network, converted)


def test_a_common_module_prefix_is_taken_off(
    network: Human3R, save: Callable[..., Path], released: OrderedDict[str, Tensor]
) -> None:
    assert _equal(network, _convert(save(model={f"module.{key}": value for key, value in released.items()})))


def test_sizes_come_from_the_constructor_and_the_shapes(save: Callable[..., Path]) -> None:
    config = load_network(save(), is_lean=False).config
    # The only size that neither shows: 64 channels per head, as in every DINOv2.
    parts = replace(CONFIG.parts, human_heads=1)
    assert config == replace(CONFIG, name="human3r_672s", image_size=512, parts=parts)


def test_a_checkpoint_is_loaded_without_conversion(network: Human3R, save: Callable[..., Path]) -> None:
    lean = load_network(save())
    assert lean.extra_head is None
    assert _equal(network, lean)


def test_the_human_image_size_falls_back_to_the_file_name(save: Callable[..., Path]) -> None:
    text = CONSTRUCTOR.replace(", mhmr_img_res=224", "")
    assert load_network(save({"model": text})).config.parts.human_image_size == 672
    with pytest.raises(CheckpointError, match="human stream"):
        load_network(save({"model": text}, name="human3r.pth"))


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("dec_norm.weight", "missing"),
        ("novelty.weight", "extra"),
        ("enc_blocks.1.mlp.fc1.weight", "shape"),
        ("masked_img_token", "shape"),
        ("downstream_head.dpt_rgb.head.4.bias", "missing"),
        ("register_tokens.weight", "missing"),
    ],
)
def test_a_key_that_does_not_fit_is_named(
    save: Callable[..., Path], released: OrderedDict[str, Tensor], key: str, change: str
) -> None:
    if change == "missing":
        del released[key]
    else:
        released[key] = torch.zeros(3, 5) if change == "shape" else torch.zeros(1)
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        load_network(save())


def test_unused_keys_may_be_absent(
    network: Human3R, save: Callable[..., Path], released: OrderedDict[str, Tensor]
) -> None:
    _, layout = network_layout(CONFIG)
    for key in (*layout.ignored, *layout.aliases):
        if not key.startswith("enc_blocks_ray_map"):
            del released[key]
    assert _equal(network, load_network(save(), is_lean=False))


def test_aliases_that_differ_are_refused(save: Callable[..., Path], released: OrderedDict[str, Tensor]) -> None:
    alias = "downstream_head.dpt_self.scratch.layer_rn.2.weight"
    released[alias] = released[alias] + 1
    with pytest.raises(CheckpointError, match="should hold one tensor"):
        load_network(save())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("head_type='dpt'", "head_type='linear'"),
        ("pos_embed='RoPE100'", "pos_embed='cosine'"),
        ("('exp', 1, inf)", "('exp', 0, inf)"),
        ("state_dec_num_heads=2", "state_dec_num_heads=5"),
        ("state_dec_num_heads=2", "state_dec_num_heads=-2"),
        ("dec_num_heads=3,", "dec_num_heads='3',"),
        ("img_size=(512, 512)", "img_size=open('/etc/passwd')"),
        ("img_size=(512, 512)", "img_size=__import__('os')"),
        ("ARCroco3DStereoConfig(", "ARCroco3DStereoConfig("),
    ],
)
def test_a_constructor_of_another_kind_is_refused(save: Callable[..., Path], before: str, after: str) -> None:
    text = CONSTRUCTOR.replace(before, after) if before != after else CONSTRUCTOR[:-1]
    with pytest.raises(CheckpointError):
        load_network(save({"model": text}))


def test_literals_are_read_and_nothing_else() -> None:
    read = parse_constructor("A(B(a=1, b='x', c=(1, -2.5), d=[True, None], e=-inf, f=inf))")
    infinity = float("inf")
    assert read == {"a": 1, "b": "x", "c": (1, -2.5), "d": (True, None), "e": -infinity, "f": infinity}
    for text in ("", "A", "A(B(a=b))", "A(B(a=1+1))", "A(B(1))", "A(B(a={}))", "A(B(a=f()))", "(" * 5000, "x" * 30_000):
        with pytest.raises(CheckpointError):
            parse_constructor(text)


def test_a_missing_constructor_is_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"args\.model"):
        load_network(save({"other": 1}))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "human3r_672S.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_network(path)


def test_a_truncated_file_is_refused(save: Callable[..., Path]) -> None:
    path = save()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError):
        load_network(path)


def test_a_failed_conversion_leaves_no_file(
    save: Callable[..., Path], released: OrderedDict[str, Tensor], tmp_path: Path
) -> None:
    del released["dec_norm.weight"]
    with pytest.raises(CheckpointError, match=r"dec_norm\.weight"):
        convert_here(save(), tmp_path / "out.safetensors")
    assert [path.suffix for path in tmp_path.iterdir()] == [".pth"]


def test_the_converter_process_gives_the_same_file_and_the_same_errors(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "convert_in_child", convert_in_child)
    here, child = tmp_path / "here.safetensors", tmp_path / "child.safetensors"
    assert convert_checkpoint(save(), child).to_json() == convert_here(save(), here)
    assert child.read_bytes() == here.read_bytes()
    damaged = tmp_path / "human3r_672S.pth"
    damaged.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="not a zip-format PyTorch checkpoint"):
        convert_checkpoint(damaged, child)
    assert child.read_bytes() == here.read_bytes()


def test_a_safetensors_file_without_configuration_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="configuration"):
        load_network(tmp_path / "x.safetensors")


@pytest.mark.parametrize("variant", ["672s", "672b", "672l", "896l"])
def test_every_parameter_of_a_preset_has_one_released_key(variant: str) -> None:
    shapes, layout = network_layout(PRESETS[f"human3r_{variant}"])
    assert sorted(layout.mapped.values()) == sorted(shapes)
    assert not layout.mapped.keys() & (layout.ignored.keys() | layout.aliases.keys())
    total = len(layout.mapped) + len(layout.ignored) + len(layout.aliases)
    assert total == (1631 if variant.endswith("l") else 1463)


def test_a_parameter_without_an_entry_in_the_table_is_a_programming_error() -> None:
    with pytest.raises(KeyError, match="novelty"):
        released_layout({"novelty.weight": (1,)}, 2)
