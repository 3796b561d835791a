"""Render examples/rendered_two_people_orbit.mp4: two people walk down a street, the camera walks ahead and around them.

Everything in it is made by human3r.training.synthetic; run with --hdri (npm package @pmndrs/assets, folder hdri) and
the Debian package sweethome3d-furniture to get the very clip of this folder, or without them for a plainer one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from human3r.bodies import load_body
from human3r.training.motion import Motion, load_motions
from human3r.training.synthetic.cameras import look_at
from human3r.training.synthetic.generate import default_furniture
from human3r.training.synthetic.people.acting import Action
from human3r.training.synthetic.people.posed_people import Cast
from human3r.training.synthetic.places.furniture import FurnitureStore
from human3r.training.synthetic.places.scene import SceneAssets
from human3r.training.synthetic.places.streets import build_street
from human3r.training.synthetic.rendering.environment import gradient_sky, load_environments
from human3r.training.synthetic.rendering.mesh import join_meshes
from human3r.training.synthetic.rendering.renderer import Renderer
from human3r.training.synthetic.rendering.sensor import develop_clean
from human3r.video.writer import VideoWriter

FPS, SECONDS, SIZE = 24, 7.0, (360, 640)
STREET_SEED, WALK = 22, "humanoid3d_walk"
PEOPLE = ((1, 0.9, -0.55, 0.0), (4, -0.8, 0.6, 0.4))
"""Per person: seed of the looks, first beta (height), x on the street, head start in the walking cycle."""


def loop_walk(motion: Motion, time_s: np.ndarray, start_s: float) -> Action:
    """Repeat a captured walking cycle for as long as needed; every cycle starts where the last one ended."""
    count = len(motion.joint_rotations)
    frames = (time_s + start_s) * motion.fps
    rounds, phase = np.divmod(frames, count - 1)
    low = phase.astype(int)
    share = (phase - low)[:, None]
    step = (motion.root_position[-1] - motion.root_position[0]) * [1, 0, 1]
    root = motion.root_position[low] * (1 - share) + motion.root_position[low + 1] * share + rounds[:, None] * step
    first, second = motion.joint_rotations[low].astype(float), motion.joint_rotations[low + 1].astype(float)
    # The mean of two close rotations, brought back to a rotation: their polar factor.
    left, _, right = np.linalg.svd(first * (1 - share[..., None, None]) + second * share[..., None, None])
    rotations = left @ right
    return Action("motion", motion.name, rotations, root - root[:1] * [1, 0, 1], is_airborne=False)


def main() -> None:
    """Render and write the clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "rendered_two_people_orbit.mp4")
    parser.add_argument("--hdri", type=Path)
    parser.add_argument("--motion", type=Path, help="default: the clips of the wheel pybullet")
    parser.add_argument("--every", type=int, default=1, help="render only every n-th frame, for a quick look")
    options = parser.parse_args()

    rng = np.random.default_rng(STREET_SEED)
    time_s = np.arange(0, SECONDS, options.every / FPS)
    environments = load_environments(options.hdri)
    sky = environments.get("sky", gradient_sky(rng)).turned(rng.uniform())
    scene = build_street(rng, SceneAssets(FurnitureStore(default_furniture()), environments), sky, False, "street")

    walk = next(motion for motion in load_motions(options.motion) if motion.name == WALK)
    cast = Cast(load_body(), [])
    ahead = walk.root_position[-1] - walk.root_position[0]
    heading = -np.arctan2(ahead[0], ahead[2])
    actors = []
    for seed, height, x, start_s in PEOPLE:
        looks = np.random.default_rng(seed)
        betas = np.array([height, *looks.normal(0, 0.7, 9)])
        placed = (heading, np.array([x, -5.0 + 0.4 * start_s]))
        actors.append(cast.perform(looks, loop_walk(walk, time_s, start_s), betas, placed, scene.bank))

    renderer = Renderer(join_meshes([scene.mesh]), [actor.mesh for actor in actors], scene.bank, scene.lights, factor=3)
    focal = SIZE[1] / 2 / np.tan(np.radians(58) / 2)
    K = np.array([[focal, 0, SIZE[1] / 2 - 0.5], [0, focal, SIZE[0] / 2 - 0.5], [0, 0, 1.0]])
    center = np.mean([actor.joints[:, 0] for actor in actors], 0)
    angle = np.radians(-28 + 74 * (time_s / SECONDS))
    exposure = None
    with VideoWriter(options.out, FPS / options.every, quality=25) as writer:
        for index in range(len(time_s)):
            middle = np.array([center[index, 0], 0.95, center[index, 2]])
            offset = np.array([np.sin(angle[index]) * 4.4, 0.65, np.cos(angle[index]) * 4.4])
            T_scene_camera = look_at(middle + offset, middle)
            frame = renderer.render([actor.vertices[index] for actor in actors], K, T_scene_camera, SIZE)
            exposure = exposure or 0.19 / float(np.exp(np.log(frame.radiance.mean(-1) + 1e-4).mean()))
            writer.append(develop_clean(frame.radiance, exposure))
            print(f"\r{index + 1}/{len(time_s)}", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
