"""Make the small copy of a golden folder that the tests replay: ``python trim_golden.py SOURCE TARGET``.

The layout stays the same; large tensors are kept for the first view only, and half of the image sizes are left out.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

SMALL_BYTES, FULL_BYTES = 8_000, 100_000
CASES = ("c2", "c6", "c7")
VARIANTS = ("672S", "896L")
FULL_VIEW = {"run1_online": "f0/"}


def trim_tensors(source: Path, target: Path) -> None:
    """Keep small tensors, and all of one view."""
    tensors = load_file(source)
    full = FULL_VIEW.get(source.stem, "none")
    kept = {
        name: values
        for name, values in tensors.items()
        if values.nbytes <= SMALL_BYTES
        or (name.startswith(full) and values.nbytes <= FULL_BYTES)
        or source.stem.startswith(("fn_", "run3"))
    }
    if source.stem == "fn_preprocess":
        kept = {name: values for name, values in kept.items() if name.split("/")[0] in CASES}
    save_file(kept, target)
    target.chmod(0o644)


def main(source: Path, target: Path) -> None:
    """Copy every folder of the layout."""
    for folder in ("tiny", "functions", "release_keys"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for path in (*source.glob("tiny/*"), *source.glob("functions/*")):
        copy = target / path.parent.name / path.name
        if path.suffix == ".safetensors":
            trim_tensors(path, copy)
        elif path.stem == "fn_preprocess_cases":
            cases = [case for case in json.loads(path.read_text()) if case["case"] in CASES]
            copy.write_text(json.dumps(cases, indent=0))
        elif path.suffix == ".json":
            copy.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))
        else:
            shutil.copyfile(path, copy)
    for variant in VARIANTS:
        for kind in ("state_dict", "params"):
            name = f"{kind}_{variant}.json"
            values = json.loads((source / "release_keys" / name).read_text())
            (target / "release_keys" / name).write_text(json.dumps(values, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
