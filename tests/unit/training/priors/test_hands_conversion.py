"""Reading the TensorFlow.js graph of the hand network."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.errors import CheckpointError
from human3r.models.compact.convnets.hand_landmarks import HandLandmarkNet
from human3r.training.priors.hands import convert, source_names


def test_every_parameter_has_exactly_one_source() -> None:
    names = source_names([])

    assert names.keys() == HandLandmarkNet().state_dict().keys()
    assert len(set(names.values())) == len(names)


def test_an_unknown_constant_is_refused() -> None:
    with pytest.raises(CheckpointError, match="surprise"):
        convert({"surprise": np.zeros(3, np.float16)})
