"""Names and paths to models, devices and arithmetic."""

from __future__ import annotations

import pytest
import torch

from human3r.assets.weight_file import write_weight_file
from human3r.errors import AssetMissingError, CheckpointError, InputError, ResourceError
from human3r.inference.loading.model import load_model
from human3r.inference.loading.precision import choose_policy
from human3r.inference.loading.profile import COMPACT_PROFILE, PAPER_PROFILE


def save_tiny(path):
    network = load_model("tiny").network
    tensors = network.state_dict()
    shapes = {name: tuple(values.shape) for name, values in tensors.items()}
    write_weight_file(path, shapes, tensors.__getitem__, network.config.to_json())
    return tensors


def test_auto_without_a_gpu_is_compact():
    model = load_model("auto", device="cpu")
    assert (model.name, str(model.device), model.precision) == ("compact", "cpu", "fp32")
    assert model.profile.track_motion is not None


def test_tiny_is_the_same_every_time():
    first, second = load_model("tiny"), load_model("tiny")
    assert first.sha256 == second.sha256
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_converted_file_is_loaded_by_its_path_with_its_own_configuration(tmp_path):
    tensors = save_tiny(tmp_path / "mine.safetensors")
    model = load_model(tmp_path / "mine.safetensors")
    assert model.name == "mine"
    assert model.config.name == "tiny"
    assert all(torch.equal(values, tensors[name]) for name, values in model.network.state_dict().items())
    assert model.profile.track_motion is None


def test_a_truncated_weight_file_is_a_checkpoint_error(tmp_path):
    save_tiny(tmp_path / "mine.safetensors")
    content = (tmp_path / "mine.safetensors").read_bytes()
    (tmp_path / "mine.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "mine.safetensors")


@pytest.mark.parametrize(
    ("name", "error"), [("unheard-of", InputError), ("gone.pth", AssetMissingError), ("a/gone", AssetMissingError)]
)
def test_models_that_do_not_exist_are_named(name, error):
    with pytest.raises(error, match=name.rsplit("/", 1)[-1]):
        load_model(name)


@pytest.mark.parametrize(("device", "precision"), [("tpu", "auto"), ("cpu", "int8")])
def test_unknown_devices_and_precisions_are_input_errors(device, precision):
    with pytest.raises(InputError, match="is unknown"):
        choose_policy(device, precision, PAPER_PROFILE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_a_resource_error_with_a_remedy():
    with pytest.raises(ResourceError, match="--device cpu"):
        choose_policy("cuda", "auto", PAPER_PROFILE)


def test_metal_is_a_device_that_computes_in_fp32(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="--device cpu"):
        choose_policy("mps", "auto", PAPER_PROFILE)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    policies = [choose_policy("mps", name, PAPER_PROFILE) for name in ("auto", "bf16", "mixed")]
    assert {(policy.device.type, policy.precision) for policy in policies} == {("mps", "fp32")}


@pytest.mark.parametrize(("precision", "num_halved"), [("fp32", 0), ("mixed", 16)])
def test_mixed_precision_rounds_the_blocks_of_the_human_backbone_only(precision, num_halved):
    network = load_model("tiny", precision=precision).network
    halved = [name for name, values in network.named_parameters() if values.dtype == torch.bfloat16]
    assert len(halved) == num_halved
    assert all(name.startswith("human_prior.backbone.blocks.") for name in halved)


def test_compact_runs_in_fp32_or_bf16_only():
    found = [choose_policy("cpu", name, COMPACT_PROFILE).precision for name in ("auto", "mixed", "fp16", "bf16")]
    assert found == ["fp32", "fp32", "fp32", "bf16"]


def test_bf16_weights_are_rounded_while_reading_and_what_must_not_be_stays_fp32(tmp_path):
    tensors = save_tiny(tmp_path / "mine.safetensors")
    network = load_model(tmp_path / "mine.safetensors", precision="bf16").network
    found = network.state_dict()
    halved = {name for name, values in found.items() if values.dtype == torch.bfloat16}
    assert all(torch.equal(found[name], tensors[name].bfloat16()) for name in halved)
    assert all(torch.equal(found[name], tensors[name]) for name in found.keys() - halved)
    assert "human_prior.backbone.blocks.0.mlp.expand.weight" in halved
    assert "point_head.dpt.output.1.weight" in halved
    spared = ("norm", "patch_embedding", "score", "_head.mlp", "person_head", "prompter", "seed", "slots", "output.2")
    assert not [name for name in halved if any(word in name for word in spared)]


def test_the_hash_of_a_converted_file_changes_with_any_weight(tmp_path):
    tensors = save_tiny(tmp_path / "one.safetensors")
    config = load_model("tiny").config.to_json()
    changed = {**tensors, "memory.slots": tensors["memory.slots"] + 1}
    shapes = {name: tuple(values.shape) for name, values in tensors.items()}
    write_weight_file(tmp_path / "two.safetensors", shapes, changed.__getitem__, config)
    hashes = {load_model(tmp_path / f"{name}.safetensors").sha256 for name in ("one", "two")}
    assert len(hashes) == 2
