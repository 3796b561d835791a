"""3DPW, test split: people in the camera frame.

Layout: ``imageFiles/<sequence>/image_NNNNN.jpg`` and ``sequenceFiles/test/<sequence>.pkl``, as downloaded. Frames
without a valid camera for any person are removed before inference; people without one count as absent.
Source: von Marcard et al., "Recovering accurate 3D human pose in the wild" (ECCV 2018).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.errors import FormatError
from human3r.evaluation.benchmarks.annotations import Annotation, field, images_of_rows, list_field, true_people
from human3r.evaluation.benchmarks.folders import list_files
from human3r.evaluation.benchmarks.kinds import people_benchmark
from human3r.evaluation.bodies.body_kit import BodyKit, Gender
from human3r.evaluation.protocol import Benchmark, JointSet, Protocol, Recording
from human3r.evaluation.reference import GENDER_SLOT

_JOINT_SET: JointSet = "lsp14"
_GENDERS: dict[str, Gender] = {"m": "male", "f": "female"}


def read_annotation(path: Path) -> Annotation:
    """Read a file of ``sequenceFiles``.

    Raises:
        FormatError: Not such a file, or a field is missing or of another size.
    """
    content = read_foreign_pickle(path)
    genders = list_field(path, content, "genders")
    T_camera_world = field(path, content, "cam_poses", (None, 4, 4))
    num_people, num_frames = len(genders), len(T_camera_world)

    def stacked(name: str, *shape: int) -> np.ndarray:
        persons = list_field(path, content, name, num_people)
        return np.stack([field(path, {name: value}, name, (num_frames, *shape)) for value in persons])

    shapes = list_field(path, content, "betas", num_people)
    betas = [field(path, {"betas": np.ravel(value)}, "betas", (None,))[:10] for value in shapes]
    if not num_people or any(len(row) != 10 for row in betas) or any(g not in _GENDERS for g in genders):
        raise FormatError(f"{path.name} has no people, or a person without shape or gender.", "Download it again.")
    return Annotation(
        poses=stacked("poses", 72).reshape(num_people, num_frames, 24, 3),
        betas=np.stack(betas),
        transl=stacked("trans", 3),
        genders=tuple(_GENDERS[gender] for gender in genders),
        is_valid=stacked("campose_valid") > 0,
        T_world_camera=np.linalg.inv(T_camera_world),
        K=field(path, content, "cam_intrinsics", (3, 3)),
    )


def reference_genders(annotation: Annotation, rows: np.ndarray) -> dict[tuple[int, int], Gender]:
    """Return the genders that the public evaluation uses, by (scored frame, slot among its people).

    All are male at first. Then, for every slot that a woman has in any frame, the *row* of that number becomes
    female in the table of frames times places; so at most the first frames' people do.
    """
    places = [np.flatnonzero(annotation.is_valid[:, row]) for row in rows]
    num_places = max(len(people) for people in places)
    female_places = {
        place for people in places for place, person in enumerate(people) if annotation.genders[person] == "female"
    }
    genders: dict[tuple[int, int], Gender] = {
        (frame, place): "male" for frame, people in enumerate(places) for place in range(len(people))
    }
    for row in female_places:
        genders[divmod(row, num_places)] = "female"
    return genders


def find(kit: BodyKit, root: Path, protocol: Protocol) -> list[Recording]:
    """List the sequences of the test split that have images.

    Raises:
        AssetMissingError: A body file is missing.
        FormatError: An annotation is damaged, or images are missing.
    """
    kit.require("smplx_neutral", "smpl_male", "smpl_female", "transfer", "h36m")
    found = []
    for path in list_files(root / "sequenceFiles" / "test", (".pkl",)):
        folder = root / "imageFiles" / path.stem
        if not folder.is_dir():
            continue
        annotation = read_annotation(path)
        rows = np.flatnonzero(annotation.is_valid.any(0))[: protocol.num_frames]
        if not len(rows):
            continue
        images = images_of_rows(path.stem, list_files(folder, (".jpg",)), annotation.is_valid.shape[1], rows)
        reference = None
        if GENDER_SLOT in protocol.references:
            reference = partial(true_people, kit, _JOINT_SET, annotation, rows, reference_genders(annotation, rows))
        reader = partial(true_people, kit, _JOINT_SET, annotation, rows, None)
        found.append(Recording(path.stem, folder, images, read_people=reader, read_reference_people=reference))
    return found


def threedpw_benchmark(kit: BodyKit) -> Benchmark:
    """Build the benchmark."""
    benchmark = people_benchmark(
        kit,
        Protocol(
            name="3dpw",
            num_sequences=24,
            title="3DPW (test), people in the camera frame",
            loader="crop",
            reset_interval=100,
            joint_set=_JOINT_SET,
        ),
        layout="imageFiles/<sequence>/image_NNNNN.jpg and sequenceFiles/test/<sequence>.pkl",
        find=partial(find, kit),
    )
    return replace(benchmark, references=(GENDER_SLOT, *benchmark.references))
