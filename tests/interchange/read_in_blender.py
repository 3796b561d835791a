"""Runs inside Blender: import a GLB, and write down what is there at some times. The test beside it starts this.

Arguments after ``--``: the GLB, the folder for answers, the frame rate, and the times in seconds.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

glb, folder, fps, *times_s = sys.argv[sys.argv.index("--") + 1 :]
folder = Path(folder)
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = int(fps)  # before the import: keys land on whole frames
bpy.ops.import_scene.gltf(filepath=glb)

cameras = [item for item in bpy.data.objects if item.type == "CAMERA"]
people = [item for item in bpy.data.objects if item.type == "MESH" and item.find_armature()]
Y_UP_FROM_BLENDER = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
answer = {
    "version": bpy.app.version_string,
    "actions": len(bpy.data.actions),
    "morphs": {item.name: len(item.data.shape_keys.key_blocks) - 1 for item in people if item.data.shape_keys},
    "bones": {item.find_armature().name: len(item.find_armature().data.bones) for item in people},
    "loose_points": max((len(mesh.vertices) for mesh in bpy.data.meshes if len(mesh.polygons) == 0), default=0),
    "moments": [],
}
scene.camera = cameras[0]
for index, time_s in enumerate(map(float, times_s)):
    whole = int(time_s * float(fps))
    scene.frame_set(whole, subframe=time_s * float(fps) - whole)
    graph = bpy.context.evaluated_depsgraph_get()
    for item in people:
        posed = item.evaluated_get(graph)
        mesh = posed.to_mesh()
        vertices = np.empty(3 * len(mesh.vertices))
        mesh.vertices.foreach_get("co", vertices)
        world = Y_UP_FROM_BLENDER @ np.array(posed.matrix_world)
        np.save(folder / f"{item.name}_{index}.npy", vertices.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
        posed.to_mesh_clear()
    place = Y_UP_FROM_BLENDER @ np.array(cameras[0].evaluated_get(graph).matrix_world)
    answer["moments"].append({"camera": place.tolist()})

scene.render.engine = "CYCLES"
scene.world = bpy.data.worlds.new("light")
scene.world.use_nodes = True
scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
scene.cycles.samples, scene.cycles.use_denoising = 1, False  # not every build has a denoiser
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 96, 64, 100
for index, time_s in enumerate(map(float, times_s[:2])):
    scene.frame_set(round(time_s * float(fps)))
    scene.render.filepath = str(folder / f"picture_{index}.png")
    bpy.ops.render.render(write_still=True)
if "fbx" in dir(bpy.ops.export_scene):
    bpy.ops.export_scene.fbx(filepath=str(folder / "scene.fbx"), bake_anim=True, add_leaf_bones=False)
(folder / "answer.json").write_text(json.dumps(answer))
