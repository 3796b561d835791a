"""EMDB: subset 1 for people in the camera frame, subset 2 for their motion in the world.

Layout: ``P<n>/<nn>_<name>/{images/*.jpg,P<n>_<nn>_<name>_data.pkl}``, as downloaded. Frames marked as bad
are removed before inference, as in the public evaluation: the video has jumps.
Source: Kaufmann et al., "EMDB" (ICCV 2023).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.errors import FormatError
from human3r.evaluation.benchmarks.annotations import Annotation, field, images_of_rows, true_people
from human3r.evaluation.benchmarks.folders import list_files
from human3r.evaluation.benchmarks.kinds import WORLD_METRICS, people_benchmark
from human3r.evaluation.bodies.body_kit import BodyKit, Gender
from human3r.evaluation.protocol import Benchmark, Protocol, Recording

EMDB_1 = (
    *("P1/14", "P2/23", "P3/31", "P3/32", "P3/33", "P5/42", "P5/44", "P6/49", "P6/50"),
    *("P6/51", "P7/57", "P7/59", "P7/60", "P8/64", "P8/68", "P8/69", "P9/76"),
)
EMDB_2 = (
    *("P0/09", "P2/19", "P2/20", "P2/24", "P3/27", "P3/28", "P3/29", "P3/30", "P4/35"),
    *("P4/36", "P4/37", "P5/40", "P6/48", "P6/49", "P7/55", "P7/56", "P7/57", "P7/58"),
    *("P7/61", "P8/64", "P8/65", "P9/77", "P9/78", "P9/79", "P9/80"),
)
"""Sequences of the two subsets. Source: EMDB (ICCV 2023)."""
_GENDERS: tuple[Gender, ...] = ("neutral", "male", "female")


def read_annotation(path: Path, subset: Literal["emdb1", "emdb2"]) -> Annotation:
    """Read a ``_data.pkl``.

    Raises:
        FormatError: Not such a file, a field is missing or of another size, or the sequence is not of the subset.
    """
    content = read_foreign_pickle(path)
    mapping = content if isinstance(content, dict) else {}
    if mapping.get(subset) is not None and not bool(mapping[subset]):
        raise FormatError(f"{path.name} is not part of {subset}.", "Download it again.")
    is_good = field(path, mapping, "good_frames_mask", (None,)) > 0
    num_frames = len(is_good)
    smpl, camera, gender = mapping.get("smpl"), mapping.get("camera"), mapping.get("gender")
    if gender not in _GENDERS:
        raise FormatError(f"{path.name} has no gender.", "Download it again.")
    root, body = (field(path, smpl, f"poses_{part}", (num_frames, size)) for part, size in (("root", 3), ("body", 69)))
    return Annotation(
        poses=np.concatenate([root, body], 1).reshape(1, num_frames, 24, 3),
        betas=field(path, smpl, "betas", (None,))[None, :10],
        transl=field(path, smpl, "trans", (num_frames, 3))[None],
        genders=(gender,),
        is_valid=is_good[None],
        T_world_camera=np.linalg.inv(field(path, camera, "extrinsics", (num_frames, 4, 4))),
        K=field(path, camera, "intrinsics", (3, 3)),
    )


def find(kit: BodyKit, subset: Literal["emdb1", "emdb2"], root: Path, protocol: Protocol) -> list[Recording]:
    """List the sequences of a subset that are there; folders may carry a name after their number.

    Raises:
        AssetMissingError: A body file is missing.
        FormatError: An annotation is missing or damaged, or images are missing.
    """
    kit.require("smplx_neutral", "smpl_neutral", "smpl_male", "smpl_female", "transfer")
    found = []
    for name in protocol.sequences:
        person, number = name.split("/")
        folders = [path for path in sorted((root / person).glob(f"{number}*")) if path.name.split("_")[0] == number]
        if not folders:
            continue
        folder = folders[0]
        path = folder / f"{person}_{folder.name}_data.pkl"
        annotation = read_annotation(path, subset)
        rows = np.flatnonzero(annotation.is_valid[0])[: protocol.num_frames]
        images = images_of_rows(name, list_files(folder / "images"), annotation.is_valid.shape[1], rows)
        reader = partial(true_people, kit, "smpl24", annotation, rows, None)
        found.append(Recording(name, folder, images, read_people=reader))
    return found


_LAYOUT = "P<n>/<nn>_<name>/{images/*.jpg,P<n>_<nn>_<name>_data.pkl}"


def emdb_1_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark of people in the camera frame."""
    protocol = Protocol(
        name="emdb1",
        title="EMDB 1, people in the camera frame",
        loader="crop",
        sequences=EMDB_1,
        reset_interval=100,
        joint_set="smpl24",
    )
    return people_benchmark(kit, protocol, _LAYOUT, partial(find, kit, "emdb1"))


def emdb_2_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark of motion in the world."""
    protocol = Protocol(
        name="emdb2",
        title="EMDB 2, motion in the world",
        loader="crop",
        sequences=EMDB_2,
        reset_interval=50,
        joint_set="smpl24",
        world_metrics=WORLD_METRICS,
    )
    return people_benchmark(kit, protocol, _LAYOUT, partial(find, kit, "emdb2"))
