"""A minimal writer of binary glTF 2.0: one buffer, accessors, nodes, one animation.

Only the container; ``glb`` builds the scene with it. Source: Khronos glTF 2.0
specification, sections 3.6 (buffers), 3.11 (animations) and 4 (GLB container).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

JsonObject = dict[str, Any]

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
POINTS, LINES, LINE_STRIP, TRIANGLES = 0, 1, 3, 4
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP = 9729, 9987, 33071

_COMPONENT = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPE = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class GltfWriter:
    """Collects the parts of one glTF asset; ``to_glb`` gives the file."""

    def __init__(self, generator: str) -> None:
        self.asset: JsonObject = {"version": "2.0", "generator": generator}
        self.extensions_used: set[str] = set()
        self._binary = bytearray()
        self._parts: dict[str, list[JsonObject]] = {}
        self._roots: list[int] = []
        self._samplers: list[JsonObject] = []
        self._channels: list[JsonObject] = []

    def add(self, kind: str, **properties: object) -> int:
        """Append an object to a top-level array such as ``materials`` and return its index."""
        self._parts.setdefault(kind, []).append(properties)
        return len(self._parts[kind]) - 1

    def add_node(self, parent: int | None = None, **properties: object) -> int:
        """Append a node below ``parent``, or at the root of the scene."""
        index = self.add("nodes", **properties)
        if parent is None:
            self._roots.append(index)
        else:
            self._parts["nodes"][parent].setdefault("children", []).append(index)
        return index

    def add_array(
        self, array: np.ndarray, target: int | None = None, *, normalized: bool = False, bounds: bool = False
    ) -> int:
        """Append the bytes of an array and an accessor to them.

        Args:
            array: ``count`` scalars, or ``count 2|3|4`` vectors, or ``count 4 4`` column-major matrices.
            target: ``ARRAY_BUFFER`` for vertex data, ``ELEMENT_ARRAY_BUFFER`` for indices, None otherwise.
            normalized: Integers stand for fractions of their range.
            bounds: Store minimum and maximum, which positions and key times must have.
        """
        accessor: JsonObject = {
            "bufferView": self._add_view(array, target),
            "componentType": _COMPONENT[array.dtype.str[1:]],
            "count": len(array),
            "type": _TYPE[array.shape[1:]],
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            accessor.update(_bounds(array))
        return self.add("accessors", **accessor)

    def add_sparse_vectors(self, vectors: np.ndarray) -> int:
        """Append ``n 3`` float32 vectors, bounds included, storing only those that are not zero if that is smaller."""
        rows = np.flatnonzero(vectors.any(axis=1))
        if len(rows) == 0 or len(rows) > 0.7 * len(vectors):
            return self.add_array(vectors, ARRAY_BUFFER, bounds=True)
        index_dtype = np.uint16 if len(vectors) <= np.iinfo(np.uint16).max else np.uint32
        sparse = {
            "count": len(rows),
            "indices": {
                "bufferView": self._add_view(rows.astype(index_dtype), None),
                "componentType": _COMPONENT[np.dtype(index_dtype).str[1:]],
            },
            "values": {"bufferView": self._add_view(vectors[rows], None)},
        }
        accessor: JsonObject = {"componentType": _COMPONENT["f4"], "count": len(vectors), "type": "VEC3"}
        return self.add("accessors", **accessor, **_bounds(vectors), sparse=sparse)

    def add_texture(self, jpeg: bytes) -> int:
        """Append a JPEG and a texture that shows it, unrepeated; return the texture's index."""
        view = self._add_view(np.frombuffer(jpeg, dtype=np.uint8), None)
        image = self.add("images", bufferView=view, mimeType="image/jpeg")
        if "samplers" not in self._parts:
            self.add("samplers", magFilter=LINEAR, minFilter=LINEAR_MIPMAP_LINEAR, wrapS=CLAMP, wrapT=CLAMP)
        return self.add("textures", sampler=0, source=image)

    def _add_view(self, array: np.ndarray, target: int | None) -> int:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        self._binary.extend(b"\0" * (-len(self._binary) % 4))
        view: JsonObject = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        self._binary.extend(array.tobytes())
        return self.add("bufferViews", **view)

    def animate(self, node: int, path: str, times: int, values: np.ndarray, *, step: bool = False) -> None:
        """Drive one property of a node; ``times`` is the accessor of the key times."""
        interpolation = "STEP" if step else "LINEAR"
        self._samplers.append({"input": times, "output": self.add_array(values), "interpolation": interpolation})
        self._channels.append({"sampler": len(self._samplers) - 1, "target": {"node": node, "path": path}})

    def to_glb(self, scene_name: str, animation_name: str) -> bytes:
        """Return the whole file."""
        document: JsonObject = {"asset": self.asset, "scene": 0, "scenes": [{"name": scene_name, "nodes": self._roots}]}
        document.update(self._parts)
        if self._channels:
            animation = {"name": animation_name, "samplers": self._samplers, "channels": self._channels}
            document["animations"] = [animation]
        if self.extensions_used:
            document["extensionsUsed"] = sorted(self.extensions_used)
        binary = bytes(self._binary) + b"\0" * (-len(self._binary) % 4)
        if binary:
            document["buffers"] = [{"byteLength": len(binary)}]
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        if binary:
            chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def _bounds(array: np.ndarray) -> JsonObject:
    return {
        "min": np.atleast_1d(array.min(axis=0)).tolist(),
        "max": np.atleast_1d(array.max(axis=0)).tolist(),
    }
