"""Pickled arrays are read as data; whatever else a pickle asks for is never done."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from human3r.assets.conversion.array_pickle import load_pickled_arrays, load_torch_arrays
from human3r.assets.conversion.inert_pickle import Inert
from human3r.errors import FormatError

ANNOTATION = {
    "poses": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))],
    "valid": np.array([True, False]),
    "big": np.array([1.5, -2.0], ">f8"),
    "scalar": np.float64(2.5),
    "genders": ["m", "f"],
    "nested": OrderedDict(name="downtown", ids=(1, 2)),
    "objects": np.array(["male", None], dtype=object),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(ANNOTATION, protocol))
    read = load_pickled_arrays(path)
    for found, expected in zip(read["poses"], ANNOTATION["poses"], strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(read["valid"], [True, False])
    np.testing.assert_array_equal(read["big"], [1.5, -2.0])
    assert read["scalar"] == 2.5
    assert read["genders"] == ["m", "f"]
    assert read["nested"] == {"name": "downtown", "ids": (1, 2)}
    assert read["objects"] == ["male", None]
    assert read["empty"].shape == (0, 3)


@pytest.mark.parametrize(
    "payload",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntcnumpy\ndtype\n"
        b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x9a\\x99\\x99\\x99\\x99\\x99\\xf1?'\ntb.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85cnumpy\n"
        b"dtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x08\x9a\x99\x99\x99\x99\x99\xf1?tb.",
    ],
    ids=["oldest protocol", "protocol 2"],
)
def test_arrays_of_python_2_are_read(payload: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(payload)
    np.testing.assert_array_equal(load_pickled_arrays(tmp_path / "a.pkl"), [1.1])


@pytest.mark.parametrize("make", [sparse.csc_matrix, sparse.csr_matrix])
def test_sparse_matrices_are_read(make, tmp_path: Path) -> None:
    dense = np.array([[0, 2.0, 0], [0, 0, 3.0]])
    for protocol in (2, 4):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"J_regressor": make(dense)}, protocol))
        np.testing.assert_array_equal(load_pickled_arrays(tmp_path / "a.pkl")["J_regressor"].toarray(), dense)


def test_a_constant_of_chumpy_is_its_array(tmp_path: Path) -> None:
    array = pickle.dumps(np.arange(3.0), 2)[2:-1]
    payload = b"\x80\x02ccopy_reg\n_reconstructor\ncchumpy.ch\nCh\nc__builtin__\nobject\nN\x87R}U\x01x" + array + b"sb."
    (tmp_path / "a.pkl").write_bytes(payload)
    np.testing.assert_array_equal(load_pickled_arrays(tmp_path / "a.pkl"), [0, 1, 2])


def test_tensors_of_torch_save_become_arrays(tmp_path: Path) -> None:
    saved = {"test/Gym/cam_05": {"frame_id": torch.arange(3), "gender": "male", "array": np.ones((2, 2))}}
    torch.save(saved, tmp_path / "a.pt")
    [(name, label)] = load_torch_arrays(tmp_path / "a.pt").items()
    assert (name, label["gender"]) == ("test/Gym/cam_05", "male")
    np.testing.assert_array_equal(label["frame_id"], [0, 1, 2])
    np.testing.assert_array_equal(label["array"], np.ones((2, 2)))


class _Call:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.target), 0o700)


def test_a_call_in_a_pickle_is_never_made(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": _Call(tmp_path / "made"), "y": np.ones(2)}))
    read = load_pickled_arrays(tmp_path / "a.pkl")
    assert isinstance(read["x"], Inert)
    np.testing.assert_array_equal(read["y"], [1, 1])
    assert not (tmp_path / "made").exists()


def _endless() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


def _shared(depth: int) -> list[object]:
    items: list[object] = []
    for _ in range(depth):
        items = [items, items]
    return items


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not a pickle",
        pickle.dumps(np.arange(4.0))[:-9],
        pickle.dumps(_endless()),
        pickle.dumps(np.arange(4.0), 2).replace(b"K\x04\x85", b"K\x05\x85"),
        pickle.dumps(np.arange(4, dtype="f4"), 2).replace(b"f4", b"O8"),
    ],
    ids=["empty", "text", "cut off", "endless", "too few numbers", "numbers as objects"],
)
def test_damaged_pickles_are_refused_in_one_sentence(payload: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pkl").write_bytes(payload)
    with pytest.raises(FormatError, match=r"bad\.pkl is not a pickle of arrays"):
        load_pickled_arrays(tmp_path / "bad.pkl")


def test_a_part_that_is_mentioned_a_thousand_times_is_converted_once(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_shared(60)))
    assert len(load_pickled_arrays(tmp_path / "a.pkl")) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.pkl cannot be read"):
        load_pickled_arrays(tmp_path / "none.pkl")
    with pytest.raises(FormatError, match=r"none\.pt is not a file of tensors"):
        load_torch_arrays(tmp_path / "none.pt")
