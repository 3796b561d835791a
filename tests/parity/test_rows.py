"""The comparator of the replay."""

from __future__ import annotations

import pytest
import torch

from human3r.video.preprocess import prepare_paper
from tests.parity.replay.clip import draw_frame
from tests.parity.replay.preprocess_replay import replay_preprocess
from tests.parity.replay.rows import FUNCTION_TOLERANCE, ParityRow, RowCollector


def _row(name: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float = FUNCTION_TOLERANCE) -> ParityRow:
    collector = RowCollector("file")
    collector.compare(name, found, expected, tolerance)
    return collector.rows[0]


def test_quaternions_are_compared_up_to_their_sign() -> None:
    pose = torch.tensor([[1.0, 2.0, 3.0, 0.5, -0.5, 0.5, 0.5], [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0]])
    opposite = torch.cat((pose[:, :3], -pose[:, 3:]), dim=1)

    assert _row("f0/out.camera_pose", opposite, pose).is_ok
    assert not _row("f0/out.camera_pose", -pose, pose).is_ok
    assert not _row("f0/out.smpl_shape", opposite, pose).is_ok


def test_a_row_is_judged_by_the_tensor_that_exceeds_its_own_tolerance_most() -> None:
    collector = RowCollector("file")
    collector.compare("f0/x", torch.tensor([1.0 + 2e-4]), torch.tensor([1.0]), 1e-3)
    collector.compare("f1/x", torch.tensor([1.0 + 5e-5]), torch.tensor([1.0]), 1e-5)

    assert not collector.rows[0].is_ok
    assert collector.rows[0].worst == "f1/x"
    assert collector.rows[0].num_tensors == 2


@pytest.mark.parametrize(("levels", "is_ok"), [(1, True), (2, False)])
def test_another_pillow_may_differ_by_one_gray_level_whatever_the_maximum(
    levels: int, is_ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.__version__", "0.0")
    case = {"case": "c0", "H": 16, "W": 32, "frame_index": 1, "clip_seed": 28, "size": 32}
    image = prepare_paper(draw_frame((16, 32), 1, 28), 32).image[None, :, ::8, ::8]
    recorded = {"c0/img_u8_crc32": torch.tensor([1]), "c0/img_stride8": image + levels * 2 / 255}
    collector = RowCollector("file")

    replay_preprocess(recorded, [case], collector)

    assert float(recorded["c0/img_stride8"].abs().max()) < 0.7
    assert all(row.is_ok for row in collector.rows) == is_ok
