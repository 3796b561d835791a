"""The recorded numbers of the released inference code are met, and the replay notices what it should."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from human3r.errors import FormatError, InputError
from tests.parity.replay import ParityRow, run_parity

GOLDEN = Path(__file__).parent / "golden"


def _failures(rows: list[ParityRow]) -> list[str]:
    return [f"{row.group}: {row.error:.1e} > {row.tolerance:.0e} ({row.worst})" for row in rows if not row.is_ok]


@pytest.fixture
def tracking(tmp_path: Path) -> Path:
    """A folder with the smallest recorded file."""
    for name in ("fn_tracking.safetensors", "fn_tracking.json"):
        shutil.copyfile(GOLDEN / "functions" / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def rows() -> list[ParityRow]:
    """Every row of the recorded network."""
    return run_parity(GOLDEN / "tiny")


def test_every_tensor_of_the_recorded_network_is_reproduced(rows: list[ParityRow]) -> None:
    assert _failures(rows) == []


@pytest.mark.parametrize(
    "group",
    [
        "run1_online enc.block",
        "run1_online dec.layer",
        "run1_online pose.mem_new",
        "run1_online out.pts3d_in_self_view",
        "run1_encoder_half enc.feat",
        "run2_ttt3r_reset ttt3r.attn_mean",
        "run2_post world_v3d_s",
        "run2_smplx_json trans",
        "run3_empty_frames identities per view",
        "meta weight_checksums",
    ],
)
def test_the_replay_covers_the_group(rows: list[ParityRow], group: str) -> None:
    assert group in {row.group for row in rows}


def test_fp32_mode_stays_at_the_noise_floor(rows: list[ParityRow]) -> None:
    worst = max(row.error for row in rows if row.group.startswith(("run1_online dec", "run1_online state")))
    assert worst < 5e-6


def test_recorded_functions_are_reproduced() -> None:
    assert _failures(run_parity(GOLDEN / "functions")) == []


def test_released_key_lists_are_reproduced_without_weights() -> None:
    rows = run_parity(GOLDEN / "release_keys")
    assert _failures(rows) == []
    assert {row.group for row in rows} >= {"release_keys keys 896L", "release_keys totals 672S"}


def test_a_changed_tensor_fails_its_row(tracking: Path) -> None:
    tensors = load_file(tracking / "fn_tracking.safetensors")
    tensors["f3/log_ot"] = tensors["f3/log_ot"] + 1e-3
    save_file(tensors, tracking / "fn_tracking.safetensors")
    assert [failure.split(":")[0] for failure in _failures(run_parity(tracking))] == ["fn_tracking log_ot"]


def test_an_unknown_tensor_fails_its_row(tracking: Path) -> None:
    tensors = load_file(tracking / "fn_tracking.safetensors") | {"f0/novelty": torch.zeros(1)}
    save_file(tensors, tracking / "fn_tracking.safetensors")
    assert "unknown to the replay" in _failures(run_parity(tracking))[0]


def test_a_tensor_of_another_shape_fails_its_row(tracking: Path) -> None:
    tensors = load_file(tracking / "fn_tracking.safetensors")
    tensors["f1/scores"] = tensors["f1/scores"][:, :1].contiguous()
    save_file(tensors, tracking / "fn_tracking.safetensors")
    assert "shape" in _failures(run_parity(tracking))[0]


def test_a_file_of_an_unknown_kind_fails(tracking: Path) -> None:
    save_file({"x": torch.zeros(1)}, tracking / "fn_novelty.safetensors")
    assert "unknown to the replay" in _failures(run_parity(tracking))[0]


def test_the_parent_of_a_folder_is_accepted(tracking: Path) -> None:
    inner = tracking / "a" / "functions"
    inner.mkdir(parents=True)
    for path in tracking.glob("fn_*"):
        path.rename(inner / path.name)
    rows = run_parity(tracking)
    assert _failures(rows) == []
    assert rows[0].group.startswith("a/functions/fn_tracking")


def test_another_salt_gives_other_weights(tmp_path: Path) -> None:
    for name in ("state_dict_keys.json", "weight_checksums.json"):
        shutil.copyfile(GOLDEN / "tiny" / name, tmp_path / name)
    meta = (GOLDEN / "tiny" / "meta.json").read_text()
    assert '"weight_salt":""' in meta
    (tmp_path / "meta.json").write_text(meta.replace('"weight_salt":""', '"weight_salt":"pepper"'))
    assert any("weight_checksums" in failure for failure in _failures(run_parity(tmp_path)))


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_parity(tmp_path)


def test_a_damaged_file_is_named(tracking: Path) -> None:
    (tracking / "fn_tracking.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FormatError):
        run_parity(tracking)
