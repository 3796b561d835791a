"""The animated GLB in Blender: skins, morphs, the camera, a picture, and the way to FBX. Slow: it starts Blender.

Install Debian's packages ``blender`` and ``python3-numpy``; then ``pytest tests/interchange -m slow``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_scene import stand_in_body, walking_reconstruction

from human3r.bodies import SmplxBody, load_body
from human3r.exporting import export
from human3r.results.posing import posed_vertices, rows_of_frame
from human3r.results.reconstruction import Reconstruction

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
READER = Path(__file__).with_name("read_in_blender.py")
TOLERANCE_M = 1e-3
"""What the format promises; bones are exact, morph targets stop at 0.2 mm."""
FRAMES = (2, 7)


def read_in_blender(glb: Path, folder: Path, fps: float, times_s: list[float]) -> dict:
    """Import a GLB in Blender and return what it saw."""
    if shutil.which("blender") is None:
        pytest.skip("no Blender on this machine: install the package blender")
    has_numpy = ["blender", "-b", "--factory-startup", "--python-exit-code", "3", "--python-expr", "import numpy"]
    if subprocess.run(has_numpy, capture_output=True).returncode:
        pytest.skip("this Blender has no NumPy, which its glTF importer needs: install the package python3-numpy")
    command = ["blender", "-b", "--factory-startup", "--python-exit-code", "3", "--python", str(READER), "--"]
    command += [str(glb), str(folder), f"{fps:g}", *[str(time_s) for time_s in times_s]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "answer.json").read_text())


@pytest.fixture(scope="module", params=["embedded body", "body with pose correctives"])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict, SmplxBody, Reconstruction]:
    """What Blender saw of a clip."""
    body = load_body() if request.param == "embedded body" else stand_in_body(with_pose_directions=True)
    walk = walking_reconstruction(body)
    folder = tmp_path_factory.mktemp("blender")
    times_s = [float(walk.time_s[frame] - walk.time_s[0]) for frame in FRAMES]
    answer = read_in_blender(export(walk, folder / "scene.glb", body=body), folder, walk.fps, times_s)
    return folder, answer, body, walk


def test_every_vertex_is_where_the_reconstruction_has_it(seen) -> None:
    folder, answer, body, walk = seen
    T = walk.T_gravity_world.astype(float)
    worst_m = 0.0
    for index, frame in enumerate(FRAMES):
        rows = rows_of_frame(walk, frame)
        expected = posed_vertices(walk, body, rows) @ T[:3, :3].T + T[:3, 3]
        for track, vertices in zip(walk.person_track[rows], expected, strict=True):
            found = np.load(folder / f"person_{track}_mesh_{index}.npy")
            worst_m = max(worst_m, float(np.linalg.norm(found - vertices, axis=1).max()))
    print(f"Blender {answer['version']}: worst vertex {1000 * worst_m:.3f} mm")
    assert worst_m < TOLERANCE_M


def test_skins_bones_morphs_points_and_actions_arrive(seen) -> None:
    _, answer, _, walk = seen
    assert set(answer["bones"].values()) == {55}
    assert len(answer["bones"]) == 2
    assert set(answer["morphs"]) == {"person_1_mesh", "person_2_mesh"}
    assert min(answer["morphs"].values()) >= 1
    assert answer["loose_points"] == len(walk.points_world)
    assert answer["actions"] >= 3  # two people and the camera


def test_the_camera_moves_as_it_did(seen) -> None:
    _, answer, _, walk = seen
    for frame, moment in zip(FRAMES, answer["moments"], strict=True):
        expected = walk.T_gravity_world.astype(float) @ walk.T_world_camera[frame] @ np.diag([1.0, -1, -1, 1])
        np.testing.assert_allclose(np.array(moment["camera"]), expected, atol=1e-3)


def test_it_can_be_rendered_and_moves(seen) -> None:
    folder, *_ = seen
    first, second = (np.asarray(Image.open(folder / f"picture_{index}.png").convert("RGB"), float) for index in (0, 1))
    assert first.std() > 1
    assert np.abs(first - second).max() > 10


def test_fbx_comes_out(seen) -> None:
    folder, *_ = seen
    path = folder / "scene.fbx"
    assert path.read_bytes()[:18] == b"Kaydara FBX Binary"
