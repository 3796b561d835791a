"""Generate clips: scene, people, camera, images and ground truth, deterministic for a given seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.bodies import load_body
from human3r.errors import AssetMissingError, InputError
from human3r.geometry.camera import project
from human3r.geometry.rigid import inverse_transform_points
from human3r.training.clip import ClipPeople, SyntheticClip, rebase_clip
from human3r.training.motion import load_motions
from human3r.training.synthetic.cameras import CameraPath, draw_camera
from human3r.training.synthetic.motion_blur import blurred_radiance, draw_exposure
from human3r.training.synthetic.people.posed_people import Actor, Cast
from human3r.training.synthetic.places.furniture import DEFAULT_FOLDER, FurnitureStore
from human3r.training.synthetic.places.rooms import build_room
from human3r.training.synthetic.places.scene import Scene, SceneAssets
from human3r.training.synthetic.places.streets import build_street
from human3r.training.synthetic.rendering.environment import (
    INDOOR_ENVIRONMENTS,
    OUTDOOR_ENVIRONMENTS,
    VALIDATION_ENVIRONMENTS,
    Environment,
    gradient_sky,
    load_environments,
)
from human3r.training.synthetic.rendering.mesh import join_meshes
from human3r.training.synthetic.rendering.renderer import RenderedFrame, Renderer
from human3r.training.synthetic.rendering.sensor import develop

SPLITS = ("train", "val")
_SPLIT_KEY = {"train": 0, "val": 1}
OUTDOOR_SHARE = 0.36
_SUPERSAMPLING = 2
NUM_PEOPLE_SHARES = (0.06, 0.24, 0.28, 0.19, 0.11, 0.07, 0.05)
"""Probability of 0, 1, ... 6 people; narrow rooms may get fewer."""


@dataclass(frozen=True)
class Studio:
    """Assets that are loaded once."""

    assets: SceneAssets
    cast: Cast


def open_studio(furniture: Path | None, hdri: Path | None, motion: Path | None, cache: Path | None) -> Studio:
    """Load the assets.

    Args:
        furniture: Folder with Sweet Home 3D libraries; None leaves rooms empty.
        hdri: Folder ``hdri`` of the npm package ``@pmndrs/assets``; None gives gradient skies.
        motion: Folder of motion files; None takes the clips of the installed wheel ``pybullet``.

    Raises:
        AssetMissingError: A folder was named but does not exist.
    """
    for folder, remedy in (
        (furniture, "Run: apt-get install sweethome3d-furniture"),
        (hdri, "Run: npm pack @pmndrs/assets@1.7.0"),
    ):
        if folder is not None and not folder.is_dir():
            raise AssetMissingError(f"The folder {folder} does not exist.", remedy)
    assets = SceneAssets(FurnitureStore(furniture, cache), load_environments(hdri))
    return Studio(assets, Cast(load_body(), load_motions(motion)))


def default_furniture() -> Path | None:
    """Return the furniture folder of Debian's package, or None if it is not installed."""
    return DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None


def generate_shots(
    studio: Studio, seed: int, split: str, num_frames: int, num_shots: int, frame_s: float | None = None
) -> Iterator[SyntheticClip]:
    """Generate clips of one scene from several cameras; building a scene costs as much as six frames.

    Furniture models, photographs, motions and all random draws differ between the splits.

    Raises:
        InputError: The split is unknown.
    """
    if split not in SPLITS:
        raise InputError(f"Unknown split {split!r}.", "Use train or val.")
    rng = np.random.default_rng([_SPLIT_KEY[split], seed])
    is_validation = split == "val"
    is_outdoor = rng.uniform() < OUTDOOR_SHARE
    environment = draw_environment(rng, studio, is_outdoor, is_validation)
    scene = (build_street if is_outdoor else build_room)(rng, studio.assets, environment, is_validation)
    drawn_s = rng.uniform(0.1, 0.45)
    time_s = np.arange(num_frames) * (drawn_s if frame_s is None else frame_s)
    actors, focus = _draw_actors(rng, studio, scene, time_s, is_validation)
    # A generator of its own: the exposure must not change the other draws of a seed.
    shutter = np.random.default_rng([_SPLIT_KEY[split], seed, 1])
    for _ in range(num_shots):
        camera = draw_camera(rng, scene, _subjects(actors, focus, num_frames), time_s)
        frames, truth = render_frames(scene, actors, camera)
        radiance = blurred_radiance(frames, camera, truth.joints_world, time_s, draw_exposure(shutter))
        clip = SyntheticClip(
            image=develop(rng, radiance),
            depth=np.stack([frame.depth for frame in frames]),
            person_index=np.stack([frame.person_index for frame in frames]),
            K=np.repeat(camera.K[None], num_frames, 0),
            T_world_camera=camera.T_scene_camera,
            T_gravity_world=np.eye(4),
            time_s=time_s,
            people=truth,
            seed=seed,
            split=split,
            scene=scene.kind,
            is_static_camera=camera.kind == "static",
        )
        yield rebase_clip(clip)


def render_frames(scene: Scene, actors: list[Actor], camera: CameraPath) -> tuple[list[RenderedFrame], ClipPeople]:
    """Render every frame and collect the ground truth of the people, in the scene frame."""
    still = join_meshes([scene.mesh, *[actor.seat for actor in actors if actor.seat is not None]])
    renderer = Renderer(still, [actor.mesh for actor in actors], scene.bank, scene.lights, _SUPERSAMPLING)
    frames, fractions = [], []
    for index, T_scene_camera in enumerate(camera.T_scene_camera):
        frame = renderer.render([actor.vertices[index] for actor in actors], camera.K, T_scene_camera, camera.size)
        frames.append(frame)
        whole = [
            renderer.count_person_pixels(person, camera.K, T_scene_camera, camera.size) for person in range(len(actors))
        ]
        seen = [int((frame.person_index == person + 1).sum()) for person in range(len(actors))]
        fractions.append([min(1.0, part / max(all_, 1)) for part, all_ in zip(seen, whole, strict=True)])
    return frames, _truth(actors, camera, frames, np.array(fractions).reshape(len(frames), len(actors)))


def draw_environment(rng: np.random.Generator, studio: Studio, is_outdoor: bool, is_validation: bool) -> Environment:
    """Draw the surroundings of a scene; validation scenes have photographs of their own."""
    # Windows show outdoor photographs, in 20 % of the rooms indoor ones.
    names = OUTDOOR_ENVIRONMENTS if is_outdoor or rng.uniform() < 0.8 else INDOOR_ENVIRONMENTS
    names = [
        name
        for name in names
        if (name in VALIDATION_ENVIRONMENTS) == is_validation and name in studio.assets.environments
    ]
    if not names or (is_outdoor and rng.uniform() < 0.12):
        return gradient_sky(rng).turned(rng.uniform())
    return studio.assets.environments[names[rng.integers(len(names))]].turned(rng.uniform())


def _draw_actors(
    rng: np.random.Generator, studio: Studio, scene: Scene, time_s: np.ndarray, is_validation: bool
) -> tuple[list[Actor], np.ndarray]:
    """Return the people and the floor position (x, z) around which they stand."""
    x0, z0, x1, z1 = scene.floor
    focus = np.array([(x0 + x1) / 2, (z0 + z1) / 2])
    for _ in range(30):
        spot = np.array([rng.uniform(x0, x1), rng.uniform(z0, z1)]) * 0.8
        if scene.is_free(spot[0], spot[1], 0.5):
            focus = spot
            break
    actors: list[Actor] = []
    for _ in range(int(rng.choice(7, p=NUM_PEOPLE_SHARES))):
        actor = studio.cast.make(rng, scene, actors, time_s, focus, is_validation)
        if actor is not None:
            actors.append(actor)
    return actors, focus


def _subjects(actors: list[Actor], focus: np.ndarray, num_frames: int) -> np.ndarray:
    if not actors:
        return np.tile([focus[0], 1.0, focus[1]], (num_frames, 1, 1))
    return np.stack([actor.joints[:, 6] for actor in actors], 1)


def _truth(actors: list[Actor], camera: CameraPath, frames: list[RenderedFrame], fractions: np.ndarray) -> ClipPeople:
    count, people = len(frames), len(actors)
    joints = np.array([actor.joints for actor in actors]).reshape(people, count, 55, 3).swapaxes(0, 1)
    matrices = np.array([actor.rotations for actor in actors]).reshape(-1, 3, 3)
    vectors = Rotation.from_matrix(matrices).as_rotvec().reshape(people, count, 55, 3).swapaxes(0, 1)
    uv, is_visible = _project(joints, camera, frames)
    expression = np.array([actor.expression for actor in actors]).reshape(people, 10)
    return ClipPeople(
        global_orient=vectors[:, :, 0],
        transl=np.array([actor.transl for actor in actors]).reshape(people, count, 3).swapaxes(0, 1),
        body_pose=vectors[:, :, 1:22],
        jaw_pose=vectors[:, :, 22],
        left_hand_pose=vectors[:, :, 25:40],
        right_hand_pose=vectors[:, :, 40:55],
        betas=np.array([actor.betas for actor in actors]).reshape(people, 10),
        expression=np.broadcast_to(expression, (count, people, 10)).copy(),
        joints_world=joints,
        joints_uv_px=uv,
        is_joint_visible=is_visible,
        visible_fraction=fractions,
    )


def _project(joints: np.ndarray, camera: CameraPath, frames: list[RenderedFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels ``T P J 2`` (NaN behind the camera) and visibility ``T P J``."""
    height, width = camera.size
    uv = np.full((*joints.shape[:-1], 2), np.nan)
    is_visible = np.zeros(joints.shape[:-1], bool)
    for index, T in enumerate(camera.T_scene_camera):
        local = inverse_transform_points(T, joints[index])
        ahead = local[..., 2] > 0.05
        uv[index][ahead] = project(local[ahead], camera.K)
        columns, rows = np.nan_to_num(np.round(uv[index]), nan=-1).astype(np.int64).transpose(2, 0, 1)
        inside = ahead & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        for person in range(joints.shape[1]):
            seen = frames[index].person_index[rows[person].clip(0, height - 1), columns[person].clip(0, width - 1)]
            is_visible[index, person] = inside[person] & (seen == person + 1)
    return uv, is_visible
