"""Laws of the exporters: quaternion paths, skins, and the container of glTF."""

from __future__ import annotations

import json
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation
from synthetic_scene import stand_in_body

from human3r.exporting.gltf.writer import ARRAY_BUFFER, GltfWriter
from human3r.exporting.motion import NUM_INFLUENCES, build_skin, continuous_quat_xyzw

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 20))
def test_quaternion_paths_keep_the_rotation_and_never_flip(seed: int, count: int) -> None:
    R = Rotation.random(3 * count, np.random.default_rng(seed)).as_matrix().reshape(count, 3, 3, 3)
    quat = continuous_quat_xyzw(R)
    back = Rotation.from_quat(quat.reshape(-1, 4)).as_matrix().reshape(R.shape)
    np.testing.assert_allclose(back, R, atol=1e-5)
    assert ((quat[1:] * quat[:-1]).sum(axis=-1) >= 0).all()


@settings(max_examples=20)
@given(SEEDS)
def test_four_bones_always_sum_to_one_and_are_the_strongest(seed: int) -> None:
    body = stand_in_body()
    weights = np.random.default_rng(seed).dirichlet(np.full(55, 0.05), len(body.template))
    body.skinning_weights.copy_(body.skinning_weights.new_tensor(weights))
    skin = build_skin(body)
    np.testing.assert_allclose(skin.joint_weight.sum(axis=1), 1, atol=1e-5)
    strongest = np.sort(weights, axis=1)[:, -NUM_INFLUENCES:].sum(axis=1)
    kept = np.zeros(len(weights))
    for slot in range(NUM_INFLUENCES):
        used = skin.joint_weight[:, slot] > 0
        kept[used] += weights[used, skin.joint_index[used, slot]]
    np.testing.assert_allclose(kept, strongest, atol=1e-4)


@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-9, 9, width=32)))
def test_sparse_vectors_read_back_as_written(vectors: np.ndarray) -> None:
    vectors = np.where(np.arange(len(vectors))[:, None] % 3 == 0, vectors, np.float32(0))
    gltf = GltfWriter("test")
    accessor = gltf.add_sparse_vectors(vectors)
    content = gltf.to_glb("scene", "clip")
    size = struct.unpack_from("<I", content, 12)[0]
    document, binary = json.loads(content[20 : 20 + size]), content[28 + size :]
    np.testing.assert_array_equal(read_vectors(document, binary, accessor), vectors)
    assert len(content) % 4 == 0


def read_vectors(document: dict, binary: bytes, accessor: int) -> np.ndarray:
    spec = document["accessors"][accessor]
    if "sparse" not in spec:
        start = document["bufferViews"][spec["bufferView"]]["byteOffset"]
        return np.frombuffer(binary, "<f4", 3 * spec["count"], start).reshape(-1, 3)
    sparse, dense = spec["sparse"], np.zeros((spec["count"], 3), np.float32)
    start = document["bufferViews"][sparse["indices"]["bufferView"]]["byteOffset"]
    rows = np.frombuffer(binary, "<u2", sparse["count"], start)
    start = document["bufferViews"][sparse["values"]["bufferView"]]["byteOffset"]
    dense[rows] = np.frombuffer(binary, "<f4", 3 * sparse["count"], start).reshape(-1, 3)
    return dense


def test_arrays_begin_at_multiples_of_four() -> None:
    gltf = GltfWriter("test")
    gltf.add_array(np.arange(3, dtype=np.uint8), ARRAY_BUFFER)
    gltf.add_array(np.ones((2, 3), np.float32), ARRAY_BUFFER, bounds=True)
    content = gltf.to_glb("scene", "clip")
    document = json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])
    assert [view["byteOffset"] for view in document["bufferViews"]] == [0, 4]
    assert document["accessors"][1]["max"] == [1.0, 1.0, 1.0]
