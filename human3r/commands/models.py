"""``models``: list, download, convert, verify."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from pathlib import Path

from human3r.assets.download import read_pin
from human3r.assets.registry import ASSETS, Asset, find_weights, sha256_of, weights_folder
from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.errors import AssetIntegrityError, AssetMissingError, InputError


def known_asset(name: str, names: Collection[str] = ASSETS) -> Asset:
    """Return a model by name, one of ``names``.

    Raises:
        InputError: There is no such model.
    """
    if name not in names:
        raise InputError(f"The model {name!r} is unknown.", f"Choose {', '.join(names)}.")
    return ASSETS[name]


def describe(asset: Asset) -> dict[str, object]:
    """Return the facts about a model, and whether it is installed."""
    path = None if asset.is_embedded else find_weights(asset.name)
    pin = read_pin(weights_folder() / asset.file_name) if asset.file_name else None
    return {
        "name": asset.name,
        "description": asset.description,
        "license": asset.license,
        "source": f"{asset.repository}/{asset.file_name}" if asset.repository else "in the package",
        "size_bytes": asset.size_bytes or _embedded_bytes(asset.name),
        "sha256": asset.sha256,
        "revision": asset.revision or (pin.revision if pin else None),
        "needs": asset.needs,
        "precision": asset.precision,
        "is_here": asset.is_embedded or path is not None,
        "path": str(path) if path else None,
    }


def _embedded_bytes(name: str) -> int | None:
    if name != "compact":
        return None
    return sum(path.stat().st_size for path in COMPACT_FOLDER.glob("*.safetensors"))


def list_models(options: argparse.Namespace) -> int:
    """Run ``models list``."""
    rows = [describe(asset) for asset in ASSETS.values()]
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.0f} MB" if row["size_bytes"] else "-"  # type: ignore[operator]
        print(f"{row['name']:<13} {'here' if row['is_here'] else 'not here':<9} {size:>8}  {row['description']}")
        print(f"{'':<13} from {row['source']}; license: {row['license']}; needs {row['needs']}")
        print(f"{'':<13} precision: {row['precision']}")
        if row["sha256"]:
            print(f"{'':<13} sha256 {row['sha256']}")
    return 0


def download(options: argparse.Namespace) -> int:
    """Run ``models download``."""
    from human3r.assets.conversion.convert import convert_checkpoint
    from human3r.assets.download import download_weights

    released = [name for name, asset in ASSETS.items() if not asset.is_embedded]
    if options.name in ASSETS and options.name not in released:
        print(f"{options.name} needs no download.")
        return 0
    asset = known_asset(options.name, released)
    print(f"{asset.name}: license {asset.license}.", flush=True)
    path = download_weights(asset, options.revision)
    converted = path.with_name(f"{asset.name}.safetensors")
    if not converted.is_file() or converted.stat().st_mtime < path.stat().st_mtime:
        print(f"{path}: complete, sha256 verified. Converting ...", flush=True)
        convert_checkpoint(path, converted)
    print(f"{converted}: ready. The downloaded {path.name} is no longer needed.")
    return 0


def convert(options: argparse.Namespace) -> int:
    """Run ``models convert``."""
    from human3r.assets.conversion.convert import convert_checkpoint

    if not options.checkpoint.is_file():
        raise InputError(f"There is no file {options.checkpoint.name!r}.", "Check the path.")
    if options.output.suffix != ".safetensors" or not options.output.absolute().parent.is_dir():
        raise InputError(f"{options.output} must end in .safetensors and lie in a folder that exists.")
    config = convert_checkpoint(options.checkpoint, options.output)
    print(f"{config.name}: {options.output}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """Run ``models verify``."""
    report = verify_asset(known_asset(options.name))
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{report['name']}: {report['result']}")
    return 0


def verify_asset(asset: Asset) -> dict[str, object]:
    """Verify a model's files.

    Raises:
        AssetMissingError: It is not on this machine.
        AssetIntegrityError: A file differs from the published one.
    """
    if asset.name == "compact":
        tensors = read_shards(COMPACT_FOLDER)
        return {"name": asset.name, "result": f"every file as indexed, {len(tensors)} tensors", "sha256": None}
    if asset.is_embedded:
        return {"name": asset.name, "result": "made from a seed, no files", "sha256": None}
    path = find_weights(asset.name)
    if path is None:
        raise AssetMissingError(
            f"{asset.name} is not on this machine.", f"Run 'python -m human3r models download {asset.name}'."
        )
    found = sha256_of(path)
    result = _compare(asset, path, found)
    return {"name": asset.name, "result": result, "sha256": found, "path": str(path)}


def _compare(asset: Asset, path: Path, found: str) -> str:
    if path.suffix == ".safetensors":
        from human3r.assets.conversion.convert import load_network

        load_network(path)
        return f"converted file, complete, sha256 {found}"
    if asset.sha256 is None:
        return f"sha256 {found}; no published value to compare with"
    if found != asset.sha256:
        raise AssetIntegrityError(
            f"{path.name} has sha256 {found}, expected {asset.sha256}.", "Delete it and download it again."
        )
    return f"sha256 {found} as published"
