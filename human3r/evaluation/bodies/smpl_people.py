"""Both sides of the people benchmarks as SMPL surfaces in the camera, with the joints of the benchmark's set.

Predicted SMPL-X bodies are converted to SMPL's surface; readers give true bodies as SMPL's surface.
Source: Human3R (arXiv 2510.06219), evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from human3r.bodies.smplx import SmplxBody
from human3r.evaluation.bodies.body_kit import BodyKit
from human3r.evaluation.bodies.people import PeopleScorer, project_people
from human3r.evaluation.protocol import JointSet, PosedPeople, Protocol, Recording, ScoreGroup
from human3r.geometry.rigid import inverse_transform_points
from human3r.records import FramePrediction


def people_from_smpl(
    kit: BodyKit,
    joint_set: JointSet,
    vertices_camera: np.ndarray,
    T_world_camera: np.ndarray,
    K: np.ndarray,
    identity: np.ndarray,
) -> PosedPeople:
    """Return people given by their surfaces.

    Args:
        vertices_camera: ``P 6890 3`` meters.
        T_world_camera: ``4 4``.
        K: ``3 3`` pixels of the source image.
        identity: ``P`` int64.
    """
    joints = kit.joints(joint_set, vertices_camera)
    return PosedPeople(
        joints_camera=joints,
        joints_px=project_people(joints, np.asarray(K, np.float64)),
        T_world_camera=np.asarray(T_world_camera, np.float64),
        identity=identity,
        vertices_camera=vertices_camera,
    )


@torch.inference_mode()
def predicted_people(kit: BodyKit, body: SmplxBody, joint_set: JointSet, prediction: FramePrediction) -> PosedPeople:
    """Return the people of a prediction in the predicted camera."""
    T_world_camera = prediction.camera.T_world_camera.double().numpy()
    vertices = body(prediction.parameters_world).vertices.double().numpy()
    vertices_camera = kit.to_smpl(inverse_transform_points(T_world_camera, vertices))
    K, identity = prediction.camera.K.double().numpy(), prediction.people.track_id.numpy()
    return people_from_smpl(kit, joint_set, vertices_camera, T_world_camera, K, identity)


def score_smpl_people(
    kit: BodyKit, recording: Recording, protocol: Protocol, predictions: Iterator[FramePrediction]
) -> tuple[ScoreGroup, ...]:
    """Score the people of one sequence, and again with the reference's defects if the protocol names any.

    Raises:
        AssetError: A body file is missing or damaged.
        FormatError: An annotation is damaged.
    """
    assert recording.read_people is not None
    body = kit.neutral_body()
    corrected = PeopleScorer(protocol)
    reference = PeopleScorer(protocol, is_reference=True) if protocol.references else None
    for index, prediction in enumerate(predictions):
        predicted = predicted_people(kit, body, protocol.joint_set, prediction)
        truth = recording.read_people(index)
        corrected.add(predicted, truth)
        if reference is not None:
            reference.add(
                predicted, recording.read_reference_people(index) if recording.read_reference_people else truth
            )
    return (*corrected.groups(), *(reference.groups() if reference else ()))
