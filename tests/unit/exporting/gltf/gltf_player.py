"""A slow, obvious glTF player for tests: parse a .glb, set the time, get the skinned vertices.

Written from the glTF 2.0 specification and independent of the writer.
"""

from __future__ import annotations

import json
import struct

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

_DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GltfPlayer:
    """One parsed file."""

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack_from("<III", content)
        assert (magic, version, length) == (0x46546C67, 2, len(content))
        size, kind = struct.unpack_from("<II", content, 12)
        assert kind == 0x4E4F534A
        self.document = json.loads(content[20 : 20 + size])
        self._binary = content[28 + size :]

    def array(self, accessor: int) -> np.ndarray:
        spec = self.document["accessors"][accessor]
        width = _WIDTHS[spec["type"]]
        if "sparse" not in spec:
            return self._values(spec, spec["count"], width)
        sparse = spec["sparse"]
        dense = np.zeros((spec["count"], width))
        rows = self._values(sparse["indices"], sparse["count"], 1)[:, 0]
        dense[rows] = self._values({**sparse["values"], "componentType": 5126}, sparse["count"], width)
        return dense

    def _values(self, spec: dict, count: int, width: int) -> np.ndarray:
        view = self.document["bufferViews"][spec["bufferView"]]
        dtype = _DTYPES[spec["componentType"]]
        return np.frombuffer(self._binary, dtype, count * width, view.get("byteOffset", 0)).reshape(count, width)

    def node(self, name: str) -> int:
        return next(index for index, node in enumerate(self.document["nodes"]) if node.get("name") == name)

    def state(self, time_s: float) -> list[dict[str, np.ndarray]]:
        """Local properties of all nodes at one time."""
        states = [
            {
                "translation": np.array(node.get("translation", (0, 0, 0)), float),
                "rotation": np.array(node.get("rotation", (0, 0, 0, 1)), float),
                "scale": np.array(node.get("scale", (1, 1, 1)), float),
            }
            for node in self.document["nodes"]
        ]
        for animation in self.document.get("animations", []):
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                times = self.array(sampler["input"])[:, 0].astype(float)
                values = self.array(sampler["output"]).astype(float).reshape(len(times), -1)
                target = channel["target"]
                states[target["node"]][target["path"]] = _sample(
                    times, values, time_s, sampler["interpolation"], target["path"]
                )
        return states

    def world_matrices(self, states: list[dict[str, np.ndarray]]) -> np.ndarray:
        nodes = self.document["nodes"]
        world = np.zeros((len(nodes), 4, 4))
        stack = [(root, np.eye(4)) for root in self.document["scenes"][0]["nodes"]]
        while stack:
            index, parent = stack.pop()
            local = np.eye(4)
            state = states[index]
            local[:3, :3] = Rotation.from_quat(state["rotation"]).as_matrix() * state["scale"]
            local[:3, 3] = state["translation"]
            world[index] = parent @ local
            stack += [(child, world[index]) for child in nodes[index].get("children", [])]
        return world

    def skinned_vertices(self, mesh_node: str, time_s: float) -> np.ndarray:
        """``V 3`` vertices of a skinned mesh in the scene's frame."""
        index = self.node(mesh_node)
        node = self.document["nodes"][index]
        states = self.state(time_s)
        world = self.world_matrices(states)
        mesh = self.document["meshes"][node["mesh"]]
        primitive = mesh["primitives"][0]
        vertices = self.array(primitive["attributes"]["POSITION"]).astype(float)
        weights = states[index].get("weights", np.array(mesh.get("weights", [])))
        for weight, target in zip(weights, primitive.get("targets", []), strict=True):
            vertices = vertices + weight * self.array(target["POSITION"])
        skin = self.document["skins"][node["skin"]]
        inverse_bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2).astype(float)
        bones = world[skin["joints"]] @ inverse_bind
        joints = self.array(primitive["attributes"]["JOINTS_0"])
        weights = primitive["attributes"]["WEIGHTS_0"]
        shares = self.array(weights).astype(float)
        if self.document["accessors"][weights].get("normalized"):
            shares /= 65535
        per_vertex = np.einsum("vk,vkij->vij", shares, bones[joints])
        return np.einsum("vij,vj->vi", per_vertex[:, :3, :3], vertices) + per_vertex[:, :3, 3]


def _sample(times: np.ndarray, values: np.ndarray, time_s: float, interpolation: str, path: str) -> np.ndarray:
    time_s = float(np.clip(time_s, times[0], times[-1]))
    if interpolation == "STEP":
        return values[np.searchsorted(times, time_s, side="right") - 1]
    if path == "rotation" and len(times) > 1:
        return Slerp(times, Rotation.from_quat(values))(time_s).as_quat()
    return np.array([np.interp(time_s, times, column) for column in values.T])
