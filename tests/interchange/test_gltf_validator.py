"""The GLB files before Khronos' own validator. Slow only because it needs Node.

Install it with ``npm install gltf-validator`` and name its folder: ``NODE_PATH=.../node_modules pytest
tests/interchange -m slow``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic_scene import stand_in_body, walking_reconstruction

from human3r.bodies import SmplxBody, load_body
from human3r.exporting import export

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SCRIPT = """
const read = require("fs").readFileSync(process.argv[1]);
require("gltf-validator").validateBytes(new Uint8Array(read), { maxIssues: 20 }).then((report) =>
  console.log(JSON.stringify(report.issues)));
"""
BODIES = {"embedded": load_body, "with pose correctives": lambda: stand_in_body(with_pose_directions=True)}


def issues_of(path: Path) -> dict:
    """What the validator says about a file."""
    folders = [Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    if shutil.which("node") is None or not any((folder / "gltf-validator").is_dir() for folder in folders):
        pytest.skip("no glTF validator: npm install gltf-validator, and NODE_PATH names its node_modules")
    done = subprocess.run(["node", "-e", SCRIPT, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["scene.glb", "scene_static.glb"])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("num_people", [0, 2])
def test_a_file_has_no_errors_and_no_warnings(tmp_path: Path, body: str, name: str, num_people: int) -> None:
    shape: SmplxBody = BODIES[body]()
    walk = walking_reconstruction(shape, num_people=num_people)
    issues = issues_of(export(walk, tmp_path / name, body=shape))
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
