"""Body files: what is read, what is refused, and with which words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from synthetic_body import synthetic_arrays, write_small

from human3r.bodies import load_body
from human3r.errors import AssetIntegrityError, AssetMissingError


def test_a_licensed_file_is_named_and_marked_as_licensed(synthetic_file: Path) -> None:
    body = load_body(synthetic_file)
    assert (body.name, body.is_licensed) == ("smplx-neutral", True)


def test_expression_starts_at_component_300_of_the_long_file(synthetic_file: Path) -> None:
    expected = synthetic_arrays()["shapedirs"][..., 300:310].astype(np.float32)
    np.testing.assert_array_equal(load_body(synthetic_file).expression_directions.numpy(), expected)


def test_expression_starts_at_component_10_of_the_short_file(tmp_path: Path) -> None:
    expected = synthetic_arrays()["shapedirs"][..., 10:20].astype(np.float32)
    body = load_body(write_small(tmp_path / "short.npz"))
    np.testing.assert_array_equal(body.expression_directions.numpy(), expected)


def test_object_arrays_beside_the_numbers_are_never_opened(tmp_path: Path) -> None:
    extra = np.array({"Pelvis": 0}, dtype=object)
    assert load_body(write_small(tmp_path / "extra.npz", part2num=extra)).name == "smplx-neutral"


def test_zero_pose_correctives_are_dropped(tmp_path: Path) -> None:
    body = load_body(write_small(tmp_path / "zero.npz"))
    assert body.pose_directions is None


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AssetMissingError, match=r"nowhere\.npz does not exist.*smpl-x\.is\.tue\.mpg\.de"):
        load_body(tmp_path / "nowhere.npz")


def _with(arrays: dict[str, np.ndarray], name: str, index: tuple[int, ...] | int, value: float) -> np.ndarray:
    changed = arrays[name].copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("v_template", (7, 1), np.nan, "not finite"),
        ("f", (3, 0), 10475, "outside its 10475 vertices"),
        ("lmk_faces_idx", 4, 20908, "outside its 20908 faces"),
        ("weights", (100, 3), 5.0, "do not sum to 1"),
        ("J_regressor", (3, 1), 5.0, "do not sum to 1"),
        ("kintree_table", (0, 4), 9, "before its parent"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, name: str, index: int, value: float, message: str) -> None:
    path = write_small(tmp_path / "bad.npz", **{name: _with(synthetic_arrays(), name, index, value)})
    with pytest.raises(AssetIntegrityError, match=message):
        load_body(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("v_template", np.zeros((6890, 3)), r"v_template .* shape \(6890, 3\), expected 10475x3"),
        ("shapedirs", np.zeros((10475, 3, 30), np.float16), r"shapedirs .* shape \(10475, 3, 30\)"),
        ("f", np.zeros((20907, 3), np.uint32), "20907 faces, expected 20908"),
        ("f", np.zeros((20908, 3)), "expected nx3 of kind integer"),
        ("weights", np.full((10475, 55), "x"), "weights .* expected 10475x55"),
        ("J_regressor", np.array([None], dtype=object), "J_regressor .* is object"),
        ("kintree_table", None, "lacks kintree_table"),
    ],
)
def test_a_wrong_array_is_refused(tmp_path: Path, name: str, array: np.ndarray | None, message: str) -> None:
    path = write_small(tmp_path / "bad.npz", **{name: array})
    with pytest.raises(AssetIntegrityError, match=message):
        load_body(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"plain text", b"\x80\x04\x95pickle"])
def test_a_file_that_is_not_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    path.write_bytes(content)
    with pytest.raises(AssetIntegrityError, match="not a readable npz file"):
        load_body(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write_small(tmp_path / "half.npz")
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(AssetIntegrityError):
        load_body(path)


def test_a_header_that_announces_a_huge_array_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = io.BytesIO()
    huge = {"shape": (99_999_999_999, 3), "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(header, huge)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(write_small(tmp_path / "fine.npz")) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.namelist():
            target.writestr(member, header.getvalue() if member == "v_template.npy" else source.read(member))
    with pytest.raises(AssetIntegrityError, match=r"v_template .* shape \(99999999999, 3\)"):
        load_body(path)
