"""From clips of the synthetic generator to the per-frame layout of BEDLAM: training without licensed data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from human3r.atomic import whole_or_absent_folder
from human3r.errors import InputError
from human3r.training.clip import SyntheticClip, clip_folders, read_clip, transform_people
from human3r.training.paper.data.layout import NUM_TRUE_BETAS, SPLITS, LabeledFrame, LabeledPeople, write_frame

SPLIT_FOLDERS = {"train": SPLITS[0], "val": SPLITS[1]}
"""Split of the generator -> folder of the layout."""
SEQUENCE_PREFIX = "synthetic_"


def convert_rendered(source: Path, output: Path, max_clips: int | None = None) -> Iterator[str]:
    """Convert the clips below ``source``/train and ``source``/val, one sequence per clip; existing ones are kept.

    Args:
        source: Folder that ``python -m human3r synth`` wrote.
        output: Folder for ``Training`` and ``Test``.
        max_clips: Clips per split; None converts all.

    Raises:
        InputError: There are no clips.
    """
    folders = {split: clip_folders(source / name) for name, split in SPLIT_FOLDERS.items()}
    if not all(folders.values()):
        raise InputError(f"There are no rendered clips in train and val of {source.name!r}.", "See 'human3r synth'.")
    for split, clips in folders.items():
        for folder in clips[:max_clips]:
            target = output / split / f"{SEQUENCE_PREFIX}{folder.name}"
            if not target.exists():
                write_sequence(target, read_clip(folder))
                yield target.name


def labeled_frames(clip: SyntheticClip) -> Iterator[LabeledFrame]:
    """Yield the frames of a clip with people in the camera frame, without those of whom no pixel is visible."""
    for row in range(len(clip)):
        people = transform_people(clip.people, np.linalg.inv(clip.T_world_camera[row]))
        seen = np.flatnonzero(people.visible_fraction[row] > 0)
        face = np.zeros((len(seen), 3, 3))
        face[:, 0] = people.jaw_pose[row, seen]
        body = (people.global_orient[row, seen][:, None], people.body_pose[row, seen])
        hands = (people.left_hand_pose[row, seen], people.right_hand_pose[row, seen])
        yield LabeledFrame(
            image=clip.image[row],
            depth=clip.depth[row],
            person_mask=clip.person_mask[row],
            K=clip.K[row],
            T_world_camera=clip.T_world_camera[row],
            people=LabeledPeople(
                pose=np.concatenate([*body, face, *hands], axis=1),
                betas=np.pad(people.betas[seen], ((0, 0), (0, NUM_TRUE_BETAS - people.betas.shape[1]))),
                transl=people.transl[row, seen],
            ),
        )


def write_sequence(target: Path, clip: SyntheticClip) -> None:
    """Write one clip as the sequence folder ``target``, which appears complete or not at all."""
    with whole_or_absent_folder(target) as partial:
        for index, frame in enumerate(labeled_frames(clip)):
            write_frame(partial, f"{index:04d}", frame)
