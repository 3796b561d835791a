"""Registry of weights: names, sources, licenses, sizes, hashes, and their location on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from human3r.errors import AssetMissingError, InputError

WEIGHT_SUFFIXES = (".safetensors", ".pth")
_HOME_VARIABLE = "HUMAN3R_HOME"


@dataclass(frozen=True)
class Asset:
    """One set of weights."""

    name: str
    description: str
    license: str
    repository: str | None = None
    """Hub repository; None if there is nothing to download."""
    revision: str | None = None
    """Commit of the repository (40 hexadecimal digits), or None if unknown."""
    file_name: str | None = None
    """File in the repository."""
    size_bytes: int | None = None
    """Size of that file."""
    sha256: str | None = None
    """Its sha256, or None if unknown."""
    needs: str = "nothing else"
    """Requirements and recommendations."""

    precision: str = "fp32"
    """Meaning of ``--precision auto``, and choices that exceed a tolerance in ``human3r/models/README.md``."""

    @property
    def is_embedded(self) -> bool:
        """Whether the weights are part of the package or generated."""
        return self.repository is None


_RELEASED_PRECISION = (
    "auto is fp32 on a CPU and mixed16 on a GPU, within the tolerances against fp32 (points 0.5 %, camera 0.05 degrees "
    "and 0.2 %, vertices 0.3 mm); bf16, fp16 and mixed exceed them"
)
_RELEASED_LICENSE = "non-commercial (CC BY-NC-SA 4.0 of CUT3R and the NAVER license of Multi-HMR apply)"


def _released(name: str, file_name: str, human_stream: str, size_bytes: int, sha256: str | None = None) -> Asset:
    description = f"released weights, human stream {human_stream}"
    needs = "a GPU for speed; SMPLX_NEUTRAL.npz (--body) for exact bodies, else the embedded body is used"
    source = ("faneggg/human3r", None, file_name, size_bytes, sha256)
    return Asset(name, description, _RELEASED_LICENSE, *source, needs, _RELEASED_PRECISION)


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "compact",
            "embedded default, runs on a CPU",
            "Apache-2.0",
            precision="fp32, with matrices and convolutions in bf16 on processors that multiply in it",
        ),
        _released(
            "human3r_672s",
            "human3r_672S.pth",
            "ViT-S at 672",
            3_392_067_384,
            "84d2a70386473b58b90eef8f78521065ad10908bab647ee58d1196f5018fb778",
        ),
        _released("human3r_672b", "human3r_672B.pth", "ViT-B at 672", 3_731_810_616),
        _released("human3r_672l", "human3r_672L.pth", "ViT-L at 672", 4_669_846_840),
        _released(
            "human3r_896l",
            "human3r_896L.pth",
            "ViT-L at 896",
            4_670_554_642,
            "1c5d89077d7734476ce74183df178c51ad172cad5e256081e61480cf231a9377",
        ),
        Asset("tiny", "seeded random weights, for tests", "Apache-2.0"),
    )
}
"""All models. Sizes and hashes of the released files are reported by third parties; a size without a hash is computed
from the tensors."""


def sha256_of(path: Path) -> str:
    """Return the hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def weights_folder() -> Path:
    """Return the folder of downloaded and converted weights; it may not exist."""
    home = os.environ.get(_HOME_VARIABLE)
    if home:
        return Path(home) / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "human3r" / "weights"


def find_weights(name: str) -> Path | None:
    """Return the weight file of a released model on this machine, converted ones first, or None."""
    asset = ASSETS[name]
    candidates = [weights_folder() / f"{name}.safetensors"]
    if asset.file_name:
        candidates.append(weights_folder() / asset.file_name)
    return next((path for path in candidates if path.is_file()), None)


def check_model(name_or_path: str) -> None:
    """Raise unless the weights of a model are on this machine, without reading them.

    Raises:
        InputError: An unknown name.
        AssetMissingError: The weights are missing.
    """
    asset, path = ASSETS.get(name_or_path), Path(name_or_path)
    if asset is not None:
        if not asset.is_embedded and find_weights(asset.name) is None:
            raise AssetMissingError(
                f"The weights of {asset.name} are not on this machine.",
                f"Run 'python -m human3r models download {asset.name}', or put {asset.file_name} from the hub "
                f"repository {asset.repository} into {weights_folder()}.",
            )
    elif name_or_path.endswith(WEIGHT_SUFFIXES) or "/" in name_or_path:
        if not path.is_file():
            raise AssetMissingError(f"There is no weight file {path.name!r}.", "Check the path.")
    elif name_or_path != "auto":
        raise InputError(f"The model {name_or_path!r} is unknown.", f"Choose {', '.join(ASSETS)}, or give a path.")


def models_on_disk() -> tuple[str, ...]:
    """Return the names of the models whose weights are on this machine, without the test model ``tiny``."""
    return tuple(name for name, item in ASSETS.items() if name != "tiny" and (item.is_embedded or find_weights(name)))
