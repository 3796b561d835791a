"""The embedded body and a miniature data set, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniature import SIZE, write_miniature

from human3r.bodies import SmplxBody, load_body
from human3r.training.paper.config import DataSettings, OptimizerSettings, PaperTraining


@pytest.fixture(scope="session")
def body() -> SmplxBody:
    return load_body()


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory, body: SmplxBody) -> Path:
    """Six sequences to train on, two to test on, one or two people each."""
    return write_miniature(tmp_path_factory.mktemp("bedlam"), body, 6, 2)


@pytest.fixture
def settings(miniature: Path, tmp_path: Path) -> PaperTraining:
    """A run of the tiny network that takes seconds."""
    data = DataSettings(
        root=str(miniature),
        clips_per_epoch=6,
        validation_clips=2,
        validation_size=(48, 80),
        image_sizes=((48, 80), (48, 48)),
        image_size_weights=(2, 1),
        max_people=3,
        max_crop_enlargement=3,
        workers=0,
    )
    assert SIZE[0] >= 48
    optimizer = OptimizerSettings(
        epochs=2,
        warmup_epochs=1.0,
        learning_rate=2e-3,
        batch=2,
        precision="fp32",
        gradient_checkpointing=False,
    )
    return PaperTraining(
        model="tiny", output=str(tmp_path / "run"), device="cpu", log_every=1, data=data, optimizer=optimizer
    )
