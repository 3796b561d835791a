"""Fixtures of the body tests: a file in SMPL-X's licensed layout with synthetic numbers, and our own body."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic_body import write_synthetic

from human3r.bodies import SmplxBody, load_body
from human3r.records import BodyParameters


@pytest.fixture(scope="session")
def synthetic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz")


@pytest.fixture(scope="session")
def synthetic_body(synthetic_file: Path) -> SmplxBody:
    return load_body(synthetic_file)


@pytest.fixture(scope="session")
def embedded_body() -> SmplxBody:
    return load_body()


@pytest.fixture
def parameters() -> BodyParameters:
    """Three posed people, seeded."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(3, *shape, generator=generator)

    return BodyParameters(
        global_orient=normal(3),
        transl=normal(3),
        body_pose=0.3 * normal(21, 3),
        left_hand_pose=0.3 * normal(15, 3),
        right_hand_pose=0.3 * normal(15, 3),
        jaw_pose=0.1 * normal(3),
        leye_pose=0.1 * normal(3),
        reye_pose=0.1 * normal(3),
        betas=normal(10),
        expression=normal(10),
    )
