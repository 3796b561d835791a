"""A licensed body may come as a pickle: read as data, checked, converted once, in a process of its own."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from scipy import sparse
from synthetic_body import synthetic_arrays

from human3r.assets import body_file
from human3r.assets.body_file import convert_body, open_body
from human3r.bodies import SmplxBody
from human3r.errors import AssetIntegrityError, AssetMissingError, FormatError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    arrays = dict(synthetic_arrays())
    arrays["J_regressor"] = sparse.csc_matrix(arrays["J_regressor"])
    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({**arrays, "part2num": {"Head": 15}}, protocol=2))
    return path


def test_a_pickled_body_equals_the_npz_and_is_converted_once(
    home: Path, pickled: Path, synthetic_body: SmplxBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = open_body(pickled)
    expected = synthetic_body.state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in body.state_dict().items())
    assert len(list(home.rglob("*.npz"))) == 1
    monkeypatch.setattr(body_file, "convert_body", None)
    assert open_body(pickled).name == body.name


def test_a_pickle_of_something_else_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "SMPL_NEUTRAL.pkl", tmp_path / "out" / "body.npz"
    target.parent.mkdir()
    path.write_bytes(pickle.dumps({"v_template": synthetic_arrays()["v_template"]}))
    with pytest.raises(AssetIntegrityError, match="lacks J_regressor"):
        convert_body(path, target)
    path.write_bytes(pickle.dumps(dict(synthetic_arrays()) | {"weights": -synthetic_arrays()["weights"]}))
    with pytest.raises(AssetIntegrityError, match="skinning weights"):
        convert_body(path, target)
    path.write_bytes(b"no pickle")
    with pytest.raises(FormatError):
        convert_body(path, target)
    assert not list(target.parent.iterdir())


def test_a_missing_body_is_named(home: Path) -> None:
    with pytest.raises(AssetMissingError, match=r"SMPLX_NEUTRAL\.pkl"):
        open_body("SMPLX_NEUTRAL.pkl")
