"""Weights and pickles that were made to kill or to hold up their reader: typed errors, in bounded work, in a child."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from human3r.assets.body_file import open_body
from human3r.assets.conversion import child, convert, foreign_arrays, inert_pickle
from human3r.assets.conversion.array_pickle import load_pickled_arrays
from human3r.assets.conversion.convert import load_network
from human3r.assets.conversion.foreign_arrays import read_foreign_pickle, read_foreign_tensors
from human3r.assets.conversion.inert_pickle import MAX_DEPTH, MAX_OPCODES, read_inert_pickle
from human3r.assets.conversion.torch_file import find_field
from human3r.bodies.loading import MEMBER_NAMES
from human3r.errors import AssetError, CheckpointError, FormatError
from human3r.evaluation.bodies.smpl_file import read_smpl_arrays
from human3r.models.compact.build import COMPACT
from human3r.models.config import PRESETS, ModelConfig
from human3r.training.paper.data.layout import LabeledFrame, LabeledPeople, read_frame, write_frame

pytestmark = pytest.mark.timeout(900)

DEEP = 200_000
"""Values inside each other: more than the C stack holds when Python hashes, compares or prints them."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path / "home"))


def _deep_key() -> bytes:
    return b"\x80\x02}N" + b"\x85" * DEEP + b"Ns."


def _deep_keys_that_are_equal() -> bytes:
    deep = b"N" + b"\x85" * DEEP
    return b"\x80\x02}(" + deep + b"N" + deep + b"Nu."


def _deep_ordered_dict_key() -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\n](N" + b"\x85" * DEEP + b"N\x86e\x85R."


def _deep_record_key() -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\n)R}(N" + b"Q" * DEEP + b"Nub."


def _deep_tuple() -> bytes:
    return b"\x80\x02N" + b"\x85" * DEEP + b"."


def _deep_list() -> bytes:
    return b"\x80\x02" + b"]" * DEEP + b"a" * (DEEP - 1) + b"."


def _deep_dict() -> bytes:
    return b"\x80\x02" + b"}N" * DEEP + b"}" + b"s" * DEEP + b"."


def _deep_records() -> bytes:
    return b"\x80\x02" + b"cos\nsystem\n" * DEEP + b")" + b"R" * DEEP + b"."


def _list_that_grows_at_its_leaf() -> bytes:
    """Every list is empty when it is put into the one before: a depth noted at that moment would be wrong."""
    return b"\x80\x02]q\x00" + b"]q\x01ah\x01" * DEEP + b"0" * DEEP + b"h\x00."


def _many_elements() -> bytes:
    return b"\x80\x02](" + b"N" * (MAX_OPCODES + 1) + b"e."


BOMBS = [
    _deep_key,
    _deep_keys_that_are_equal,
    _deep_ordered_dict_key,
    _deep_record_key,
    _deep_tuple,
    _deep_list,
    _deep_dict,
    _deep_records,
    _list_that_grows_at_its_leaf,
    _many_elements,
]


def _pth(path: Path, table: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", table)
    return path


def _pkl(path: Path, table: bytes) -> Path:
    path.write_bytes(table)
    return path


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_by_the_reader_itself(bomb: Callable[[], bytes]) -> None:
    with pytest.raises(CheckpointError, match="object table"):
        read_inert_pickle(bomb(), lambda *_: NotImplemented)


@pytest.mark.parametrize("bomb", [_deep_keys_that_are_equal, _list_that_grows_at_its_leaf])
def test_a_bomb_in_a_checkpoint_is_a_checkpoint_error(tmp_path: Path, bomb: Callable[[], bytes]) -> None:
    with pytest.raises(CheckpointError, match="object table") as refusal:
        load_network(_pth(tmp_path / "human3r_672S.pth", bomb()))
    assert "ended with" not in refusal.value.message  # the reader refused it and was not killed by it


def test_a_bomb_in_a_pickle_is_a_format_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a pickle of arrays"):
        read_foreign_pickle(_pkl(tmp_path / "a.pkl", _deep_ordered_dict_key()))


def test_a_body_of_either_kind_that_is_a_bomb_is_a_typed_error(tmp_path: Path) -> None:
    path = _pkl(tmp_path / "SMPL_NEUTRAL.pkl", _deep_key())
    with pytest.raises((FormatError, AssetError)):
        open_body(path)
    with pytest.raises((FormatError, AssetError)):
        read_smpl_arrays(path)


def test_values_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    def nested(depth: int) -> bytes:
        return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."

    read_inert_pickle(nested(MAX_DEPTH), lambda *_: NotImplemented)
    with pytest.raises(CheckpointError, match=f"deeper than {MAX_DEPTH} levels"):
        read_inert_pickle(nested(MAX_DEPTH + 1), lambda *_: NotImplemented)


def test_a_shared_tuple_that_would_hash_for_ever_is_never_hashed() -> None:
    """A tuple of two references to a tuple of two ...: its hash visits 2^50 items."""
    shared = b"N" + b"q\x01h\x01\x86" * 50
    pair = shared + b"N\x86"
    root = read_inert_pickle(b"\x80\x02cos\nsystem\n)R" + pair + b"a.", lambda *_: NotImplemented)
    assert find_field(root, "model") is None


def test_flat_keys_of_every_ordinary_kind_are_read(tmp_path: Path) -> None:
    content = {1: "a", "x": 2, (1, "b"): 3, b"c": 4, 2.5: 5, None: 6, False: 7}
    path = _pkl(tmp_path / "a.pkl", pickle.dumps(content))
    assert read_foreign_pickle(path) == load_pickled_arrays(path) == content


def test_arrays_come_back_from_the_child_as_they_were(tmp_path: Path) -> None:
    from scipy import sparse

    shared = np.arange(6.0).reshape(2, 3)
    content = {
        "shared": [shared, shared], "fortran": np.asfortranarray(shared), "big": shared.astype(">f4"),
        "texts": np.array(["a", "bc"]), "empty": np.zeros((0, 3)), "nan": float("nan"), "tuple": ((1, 2), b"\xff"),
        "sparse": sparse.csc_matrix(shared),
    }  # fmt: skip
    read = read_foreign_pickle(_pkl(tmp_path / "a.pkl", pickle.dumps(content)))
    assert read["shared"][0] is read["shared"][1]
    for name in ("fortran", "big", "texts", "empty"):
        assert read[name].dtype == content[name].dtype
        np.testing.assert_array_equal(read[name], content[name])
    np.testing.assert_array_equal(read["sparse"].toarray(), shared)
    assert np.isnan(read["nan"])
    assert read["tuple"] == content["tuple"]


def test_mutually_nested_lists_do_not_grow(tmp_path: Path) -> None:
    items: list[Any] = []
    for _ in range(50):
        items = [items, items]
    read = read_foreign_pickle(_pkl(tmp_path / "a.pkl", pickle.dumps(items)))
    assert read[0] is read[1]


def _dies(*_: object, **__: object) -> None:
    raise AssertionError("parsed in this process")


def test_no_pickle_is_parsed_in_the_process_that_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inert_pickle, "_Machine", _dies)
    assert read_foreign_pickle(_pkl(tmp_path / "a.pkl", pickle.dumps([1, 2]))) == [1, 2]
    with pytest.raises(FormatError):
        read_foreign_tensors(_pth(tmp_path / "a.pt", b"no table"))
    with pytest.raises(CheckpointError):
        load_network(_pth(tmp_path / "human3r_672S.pth", pickle.dumps({})))
    missing = {"f": np.zeros(3)}
    assert "f" not in set(MEMBER_NAMES) - set(missing)
    with pytest.raises(AssetError, match="lacks"):
        open_body(_pkl(tmp_path / "b.pkl", pickle.dumps(missing)))


def test_labels_of_training_are_not_parsed_in_the_process_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = LabeledPeople(np.zeros((0, 55, 3)), np.zeros((0, 11)), np.zeros((0, 3)))
    image, plane = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.float32)
    write_frame(tmp_path, "0000", LabeledFrame(image, plane, plane > 0, np.eye(3), np.eye(4), nobody))
    monkeypatch.setattr(inert_pickle, "_Machine", _dies)
    assert len(read_frame(tmp_path, "0000").people) == 0


def test_a_reader_of_pickles_that_died_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _pkl(tmp_path / "a.pkl", pickle.dumps([1, 2]))
    worker = tmp_path / "worker.sh"
    worker.write_text("#!/bin/sh\nkill -SEGV $$\n")
    worker.chmod(0o700)
    foreign_arrays._reader.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(child.sys, "executable", os.fspath(worker))
        with pytest.raises(FormatError, match=r"reads a\.pkl ended with -11"):
            read_foreign_pickle(path)
    assert read_foreign_pickle(path) == [1, 2]


def test_a_reader_that_is_killed_is_a_typed_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.sh"
    worker.write_text("#!/bin/sh\nkill -SEGV $$\n")
    worker.chmod(0o700)
    monkeypatch.setattr(child.sys, "executable", os.fspath(worker))
    (tmp_path / ".out.x1.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="ended with -11"):
        child.convert_in_child("checkpoint", tmp_path / "a.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / ".out.x1.safetensors").exists()


def _header_only(path: Path, config_json: str, tensors: dict[str, list[int]] | None = None) -> Path:
    """Write a weight file with a valid checksum of its configuration, and tensors of zeros."""
    checksums, table, end = {"config": f"{zlib.crc32(config_json.encode()):08x}"}, {}, 0
    for name, shape in (tensors or {}).items():
        begin, end = end, end + 4 * int(np.prod(shape))
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        checksums[name] = f"{zlib.crc32(bytes(end - begin)):08x}"
    table["__metadata__"] = {"format": "pt", "config": config_json, "crc32": json.dumps(checksums)}
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(end))
    return path


def _changed(config: ModelConfig, field: str, value: object) -> str:
    values = json.loads(config.to_json())
    part, _, name = field.rpartition(".")
    (values[part] if part else values)[name] = value
    return json.dumps(values)


BAD_VALUES = [50_000_000, 10**400, 1e308, -1, 0.5, float("nan"), float("inf"), "12", None, True, [12], {"value": 12}]
NUMBERS = [
    f"{part}.{name}"
    for part in ("trunk", "parts")
    for name, value in json.loads(PRESETS["tiny"].to_json())[part].items()
    if type(value) in (int, float)
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("field", ["image_size", "trunk.decoder_depth", "trunk.token_dim", "parts.encoder_depth"])
def test_a_size_that_no_network_has_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: object
) -> None:
    monkeypatch.setattr(convert, "build_network", _dies)
    path = _header_only(tmp_path / "a.safetensors", _changed(PRESETS["tiny"], field, value))
    with pytest.raises(CheckpointError, match="configuration"):
        load_network(path)


@pytest.mark.parametrize("value", [10**9, float("nan"), float("inf"), -1, "1", [1]], ids=repr)
@pytest.mark.parametrize("field", NUMBERS)
def test_every_number_of_a_configuration_has_a_range(field: str, value: object) -> None:
    with pytest.raises(CheckpointError):
        ModelConfig.from_json(_changed(PRESETS["tiny"], field, value))


@pytest.mark.parametrize("value", [0, -1, 10**9])
@pytest.mark.parametrize("field", ["lifter_dim", "lifter_depth", "point_dim", "encoder_heads"])
def test_the_sizes_of_compact_have_ranges_too(field: str, value: int) -> None:
    with pytest.raises(CheckpointError):
        ModelConfig.from_json(_changed(COMPACT, f"parts.{field}", value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trunk.decoder_heads", 5),
        ("trunk.state_heads", 7),
        ("parts.encoder_heads", 3),
        ("parts.human_heads", 3),
        ("parts.dpt_widths", [8] * 5),
        ("parts.dpt_widths", []),
        ("name", "x" * 5000),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(field: str, value: object) -> None:
    with pytest.raises(CheckpointError):
        ModelConfig.from_json(_changed(PRESETS["tiny"], field, value))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, '"\\ud800"'])
def test_a_configuration_that_is_hard_to_parse_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError):
        load_network(_header_only(tmp_path / "a.safetensors", text))


@pytest.mark.parametrize("config", [PRESETS["human3r_896l"], COMPACT], ids=["paper", "compact"])
def test_a_network_without_its_tensors_is_refused_before_a_tensor_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: ModelConfig
) -> None:
    monkeypatch.setattr(convert, "ThreadPoolExecutor", _dies)
    path = _header_only(tmp_path / "a.safetensors", config.to_json(), {"image_encoder.norm.weight": [3]})
    with pytest.raises(CheckpointError, match=r"fit the network|No network can be built"):
        load_network(path)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_within_the_ranges(name: str) -> None:
    assert ModelConfig.from_json(PRESETS[name].to_json()) == PRESETS[name]
    assert ModelConfig.from_json(COMPACT.to_json()) == COMPACT
