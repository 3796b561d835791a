"""Reading the TensorFlow.js graphs of MoveNet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from human3r.errors import CheckpointError
from human3r.models.compact.convnets.movenet import MULTIPOSE, THUNDER, MoveNet, MoveNetSizes
from human3r.training.priors.movenet import source_names
from human3r.training.priors.tensorflow_js import read_graph_weights


@pytest.mark.parametrize("sizes", [MULTIPOSE, THUNDER], ids=["multipose", "thunder"])
def test_every_parameter_has_exactly_one_source(sizes: MoveNetSizes) -> None:
    names = source_names(sizes)

    assert names.keys() == MoveNet(sizes).state_dict().keys()
    assert len(set(names.values())) == len(names)


def test_a_truncated_weight_file_is_refused(tmp_path: Path) -> None:
    entry = {
        "name": "StatefulPartitionedCall/a",
        "shape": [4],
        "dtype": "float32",
        "quantization": {"dtype": "float16"},
    }
    graph, weights = tmp_path / "graph.json", tmp_path / "weights.bin"
    graph.write_text(json.dumps({"weightsManifest": [{"weights": [entry]}]}))
    weights.write_bytes(np.zeros(3, np.float16).tobytes())

    with pytest.raises(CheckpointError, match="ends inside"):
        read_graph_weights(graph, weights)


def test_constants_are_read_in_manifest_order(tmp_path: Path) -> None:
    manifest = [
        {"name": "StatefulPartitionedCall/a", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "skipped", "shape": [], "dtype": "int32"},
        {
            "name": "StatefulPartitionedCall/b",
            "shape": [1, 2],
            "dtype": "float32",
            "quantization": {"dtype": "float16"},
        },
    ]
    graph, weights = tmp_path / "graph.json", tmp_path / "weights.bin"
    graph.write_text(json.dumps({"weightsManifest": [{"weights": manifest}]}))
    first, second = np.array([1, 2], np.float16), np.array([3, 4], np.float16)
    weights.write_bytes(first.tobytes() + np.int32(7).tobytes() + second.tobytes())

    arrays = read_graph_weights(graph, weights)

    assert arrays["a"].tolist() == [1.0, 2.0]
    assert arrays["b"].tolist() == [[3.0, 4.0]]
