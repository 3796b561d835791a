"""From a converted weight file in the page cache to a network that is ready to run: seconds and memory.

    python tests/soak/ready.py human3r_896l --precision bf16

Writes a file of the preset's exact layout with repeated noise for weights, loads it in processes of their own and
prints one JSON object per load. Seconds begin after the imports, whose own seconds are told, too; ``cpu_s`` is that of
all threads. Needs as much disk as the file has bytes (3.4 to 4.7 GB).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from human3r.assets.conversion.convert import network_layout
from human3r.assets.weight_file import write_weight_file
from human3r.models.config import PRESETS, ModelConfig

_ROOT = Path(__file__).resolve().parents[2]
_LOADING = """
import json, resource, sys, time
begin = time.perf_counter()
from human3r.inference.loading.model import load_model
imported, cpu = time.perf_counter(), time.process_time()
model = load_model(sys.argv[1], device="cpu", precision=sys.argv[2])
print(json.dumps({
    "model": model.name,
    "precision": model.precision,
    "seconds": round(time.perf_counter() - imported, 2),
    "cpu_s": round(time.process_time() - cpu, 2),
    "import_seconds": round(imported - begin, 2),
    "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
}))
"""


def write_noise(path: Path, config: ModelConfig) -> None:
    """Write a converted file whose every tensor repeats the same noise."""
    shapes, _ = network_layout(config)
    largest = max(torch.Size(shape).numel() for shape in shapes.values())
    noise = torch.randn(largest, generator=torch.Generator().manual_seed(0)) / 64

    def load(name: str) -> Tensor:
        return noise[: torch.Size(shapes[name]).numel()].reshape(shapes[name])

    write_weight_file(path, shapes, load, config.to_json())


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=[name for name in PRESETS if name != "tiny"])
    parser.add_argument("--precision", default="auto", help="as of the command line")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--in", dest="folder", type=Path, help="folder of the file (default: a temporary one)")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / f"{options.model}.safetensors"
        write_noise(path, PRESETS[options.model])
        for _ in range(options.runs):
            command = [sys.executable, "-c", _LOADING, str(path), options.precision]
            subprocess.run(command, env=environment, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
