"""A tiny model with the stand-in body, and a short clip of moving noise."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.precision import choose_policy
from human3r.inference.loading.profile import PAPER_PROFILE
from human3r.models.build import build_network, seed_weights
from human3r.models.config import PRESETS
from human3r.video.writer import VideoWriter

# Two processes share the tests. With a thread per processor in each, and in what they start, threads wait busily:
# on a busy machine the same tests took 161 s of processor time with two threads, 25 s with one.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny(small_body):
    torch.manual_seed(0)
    network = build_network(PRESETS["tiny"])
    seed_weights(network)
    return LoadedModel(
        network=network.requires_grad_(False),
        body=small_body,
        config=network.config,
        name="tiny",
        sha256="0" * 64,
        policy=choose_policy("cpu", "fp32", PAPER_PROFILE),
        profile=PAPER_PROFILE,
    )


@pytest.fixture(scope="session")
def frames():
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (9, 6, 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 10, axis=1), 10, axis=2)


@pytest.fixture(scope="session")
def clip(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    with VideoWriter(path, fps=10, quality=10) as writer:
        for frame in frames:
            writer.append(frame)
    return path
