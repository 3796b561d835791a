"""Saved reconstructions and their sidecars as somebody else's program, a damaged disk or an attacker leaves them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import prediction_of

from human3r.errors import FormatError, Human3RError, InputError
from human3r.exporting.bundle import export
from human3r.exporting.manifest import MANIFEST_NAME, write_manifest
from human3r.exporting.viewer.moments import MOMENTS_NAME, Moments, belongs_to, coarsened
from human3r.refinement.world.depth_correction import NUM_BENDS
from human3r.results.reconstruction import Reconstruction

NAN, INF = float("nan"), float("inf")
MAX_MEMORY = 400_000_000
"""What reading a hostile file of some kilobytes may allocate."""


def arrays_of(result, path):
    result.save(path)
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def arrays(walk, tmp_path):
    return arrays_of(walk, tmp_path / "whole.npz")


def changed(name, place, value):
    """Return a change: one value of one array."""

    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return change


def whole(name, make):
    """Return a change: another array."""

    def change(arrays):
        arrays[name] = make(arrays[name])

    return change


def meta(**entries):
    """Return a change: other entries of the meta."""
    return whole("meta", lambda before: np.array(json.dumps(json.loads(str(before)) | entries)))


def nothing_of(axis_names):
    return lambda arrays: arrays.update({name: arrays[name][:0] for name in axis_names})


VALUES = {
    "fps is text": whole("fps", lambda _: np.array("ten")),
    "fps is a list": whole("fps", lambda _: np.array([10.0])),
    "fps 0": whole("fps", lambda _: np.array(0.0)),
    "fps negative": whole("fps", lambda _: np.array(-3.0)),
    "fps nan": whole("fps", lambda _: np.array(NAN)),
    "fps infinite": whole("fps", lambda _: np.array(INF)),
    "fps a whole number": whole("fps", lambda _: np.array(10)),
    "no frames": nothing_of(("frame_index", "time_s", "K", "T_world_camera")),
    "frame index negative": changed("frame_index", 0, -1),
    "frame index falls": changed("frame_index", 3, 0),
    "frame index of the universe": changed("frame_index", -1, 2**62),
    "time falls": changed("time_s", 3, 0.0),
    "time nan": changed("time_s", 3, NAN),
    "time infinite": changed("time_s", -1, INF),
    "time in the next aeon": changed("time_s", -1, 1e12),
    "size 0": changed("image_size", 0, 0),
    "size negative": changed("image_size", 1, -320),
    "size of a continent": changed("image_size", 1, 10**9),
    "size of three axes": whole("image_size", lambda _: np.array([1, 2, 3])),
    "K zero": whole("K", np.zeros_like),
    "K nan": changed("K", (2, 0, 0), NAN),
    "K infinite": changed("K", (2, 0, 2), INF),
    "K negative focal length": changed("K", (2, 1, 1), -300),
    "K without its last row": changed("K", (2, 2, 2), 0),
    "K of doubles": whole("K", lambda K: K.astype(np.float64)),
    "K of texts": whole("K", lambda K: K.astype(str)),
    "K of complex numbers": whole("K", lambda K: K.astype(np.complex64)),
    "K of one frame": whole("K", lambda K: K[0]),
    "K of fewer frames": whole("K", lambda K: K[:-1]),
    "camera zero": whole("T_world_camera", np.zeros_like),
    "camera nan": changed("T_world_camera", (1, 0, 3), NAN),
    "camera beyond the moon": changed("T_world_camera", (1, 0, 3), 4e8),
    "camera a mirror": changed("T_world_camera", (1, 2, 2), -1),
    "camera without its last row": changed("T_world_camera", (1, 3, 3), 0),
    "gravity scaled": whole("T_gravity_world", lambda T: 2 * T),
    "gravity infinite": changed("T_gravity_world", (0, 0), INF),
    "person in no frame": changed("person_frame", -1, 12),
    "person before the first frame": changed("person_frame", 0, -1),
    "person in every frame": changed("person_frame", 0, 2**62),
    "identity without a row": changed("person_track", 0, 77),
    "identity negative": changed("person_track", 0, -1),
    "identity listed twice": changed("track_id", 1, 0),
    "identity of nobody": whole("track_id", lambda ids: ids + 50),
    "the same person twice in a frame": changed("person_track", slice(0, 2), 0),
    "score nan": changed("person_score", 0, NAN),
    "orientation infinite": changed("global_orient", (0, 0), INF),
    "pose nan": changed("body_pose", (0, 0, 0), NAN),
    "pose in degrees per aeon": changed("left_hand_pose", (0, 0, 0), 1e20),
    "shape huge": changed("betas", (0, 0), 1e30),
    "shape of an identity nan": changed("track_betas", (0, 0), NAN),
    "face infinite": changed("expression", (0, 0), -INF),
    "place nan": changed("transl", (0, 0), NAN),
    "joints infinite": changed("joints_world", (0, 0, 0), INF),
    "pixels nan": changed("joints_image_px", (0, 0, 0), NAN),
    "joints of another skeleton": whole("joints_world", lambda joints: joints[:, :24]),
    "points nan": changed("points_world", (0, 0), NAN),
    "points infinite": changed("points_world", (5, 1), INF),
    "point of no frame": changed("points_frame", 0, 12),
    "point of a frame before": changed("points_frame", 0, -1),
    "point frames of another type": whole("points_frame", lambda frames: frames.astype(np.int64)),
    "confidence negative": changed("points_confidence", 0, -1),
    "confidence nan": changed("points_confidence", 0, NAN),
    "colors of floats": whole("points_color", lambda color: color / np.float32(255)),
    "colors without blue": whole("points_color", lambda color: color[:, :2]),
    "depth of another frame": lambda arrays: arrays.update(
        depth=np.ones((1, 2, 2), np.float16),
        depth_confidence=np.ones((1, 2, 2), np.float16),
        depth_frame_index=np.array([99]),
    ),
    "depth of half its confidence": lambda arrays: arrays.update(
        depth=np.ones((2, 2, 2), np.float16), depth_confidence=np.ones((1, 2, 2), np.float16)
    ),
    "crop nan": lambda arrays: arrays.update(depth_crop=np.array([0, 0, NAN, 1])),
    "shot begins at 3": whole("shot", lambda shot: shot + 3),
    "shot falls": changed("shot", 0, 1),
    "shot of fewer frames": whole("shot", lambda shot: shot[:-1]),
    "frame names are numbers": lambda arrays: arrays.update(frame_name=arrays["frame_index"]),
    "frame names of fewer frames": lambda arrays: arrays.update(frame_name=np.array(["a.png"])),
    "no meta": lambda arrays: arrays.pop("meta"),
    "meta no json": whole("meta", lambda _: np.array("{")),
    "meta a list": whole("meta", lambda _: np.array("[1]")),
    "meta a number array": whole("meta", lambda _: np.array(3)),
    "meta several texts": whole("meta", lambda before: np.array([str(before)] * 2)),
    "meta deep": whole("meta", lambda _: np.array('{"a":' * 90 + "1" + "}" * 90)),
    "meta too deep to read": whole("meta", lambda _: np.array("[" * 200_000)),
    "meta with a number of ten thousand digits": whole("meta", lambda _: np.array('{"a": ' + "9" * 10_000 + "}")),
    "meta huge": whole("meta", lambda _: np.array(json.dumps({"a": "x" * 5_000_000}))),
    "body a number": meta(body=3),
    "model a list": meta(model=["compact"]),
    "warnings a text": meta(warnings="all is well"),
    "shots a number": meta(shots=3),
    "shots of texts": meta(shots=["first"]),
    "a bend of four numbers": meta(shots=[{"scale": {"value": 1.0, "bend": [0.0] * 4}}]),
    "warnings of objects": meta(warnings=[{"a": 1}]),
    "no schema": lambda arrays: arrays.pop("schema"),
    "schema a number": whole("schema", lambda _: np.array(1)),
    "another schema": whole("schema", lambda _: np.array("human3r/99")),
    "no people columns": lambda arrays: arrays.pop("body_pose"),
}


@pytest.mark.parametrize("name", VALUES)
def test_impossible_values_are_refused_with_a_sentence(arrays, tmp_path, name):
    VALUES[name](arrays)
    np.savez_compressed(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FormatError) as caught:
        Reconstruction.load(tmp_path / "bad.npz")
    assert caught.value.message.endswith(".")
    assert len(str(caught.value)) < 400


def test_harmless_extras_and_foreign_byte_orders_are_accepted(walk, arrays, tmp_path):
    arrays["K"] = np.asfortranarray(arrays["K"].astype(">f4"))
    arrays["somebody_elses"] = np.zeros(3)
    np.savez(tmp_path / "odd.npz", **arrays)
    assert np.array_equal(Reconstruction.load(tmp_path / "odd.npz").K, walk.K)


@pytest.mark.parametrize("num_bends", [3, 5, NUM_BENDS])
def test_the_bends_of_earlier_and_of_present_versions_are_read(walk, tmp_path, num_bends):
    shots = [{"scale": {"value": 1.0, "bend": [0.1] * num_bends}}]
    replace(walk, meta=walk.meta | {"shots": shots}).save(tmp_path / "bent.npz")
    assert Reconstruction.load(tmp_path / "bent.npz").meta["shots"] == shots


def header(descr, shape, *, magic=b"\x93NUMPY\x01\x00", fortran="False"):
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return magic + struct.pack("<H", len(text)) + text


def with_member(name, content, method=zipfile.ZIP_DEFLATED):
    """Return a change of a file: one member has these bytes."""

    def change(source, target):
        with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
            for item in before.namelist():
                if item != f"{name}.npy":
                    after.writestr(item, before.read(item))
            after.writestr(f"{name}.npy", content() if callable(content) else content, compress_type=method)

    return change


def damaged(edit):
    """Return a change of a file: its bytes."""

    def change(source, target):
        content = bytearray(source.read_bytes())
        edit(content)
        target.write_bytes(content)

    return change


def declare_huge(content):
    """Let the directory say that the first member unpacks to 4 GB."""
    place = content.find(b"PK\x01\x02")
    content[place + 24 : place + 28] = b"\xf0\xff\xff\xff"


def encrypt(content):
    for place in (0, content.find(b"PK\x01\x02") + 2):
        content[place + 6] |= 1


def many_entries(source, target):
    with zipfile.ZipFile(target, "w") as archive:
        for index in range(30_000):
            archive.writestr(f"{index}.npy", b"")


FILES = {
    "nothing": damaged(lambda content: content.clear()),
    "a text": lambda source, target: target.write_bytes(b"not an archive"),
    "half": damaged(lambda content: content.__delitem__(slice(len(content) // 2, None))),
    "no first byte": damaged(lambda content: content.__delitem__(0)),
    "a wrong checksum": damaged(lambda content: content.__setitem__(content.find(b"PK\x01\x02") + 16, 0xAA)),
    "a member that says 4 GB": damaged(declare_huge),
    "an encrypted member": damaged(encrypt),
    "30,000 members": many_entries,
    "a bomb of zeros": with_member("points_world", lambda: header("<f4", (25_000_000, 3)) + bytes(300_000_000)),
    "a terabyte in the header": with_member("points_world", header("<f4", (10**11, 3))),
    "more bytes than there are atoms": with_member("points_world", header("<f4", (10**17, 10**17))),
    "an empty array of a huge axis": with_member("K", header("<f4", (0, 10**17, 10**17))),
    "bytes left over": with_member("fps", header("<f8", ()) + bytes(16)),
    "a text of 4 GB": with_member("meta", header("<U999999999", ())),
    "objects": with_member("meta", header("|O8", ()) + b"cos\nsystem\n(S'true'\ntR."),
    "pickled objects": with_member("meta", header("|O", ()) + b"cos\nsystem\n(S'true'\ntR."),
    "a structure": with_member("fps", header([("a", "<f8")], ()) + bytes(8)),
    "a shape of names": with_member("fps", header("<f8", "(__import__('os').getpid(),)") + bytes(8)),
    "a deep header": with_member("fps", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000),
    "a long header": with_member("fps", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 50),
    "no header": with_member("fps", b"\x93NUMPY"),
    "an unknown type": with_member("fps", header("<q8", ()) + bytes(8)),
    "negative axes": with_member("K", header("<f4", (-1, 3, 3))),
    "packed by LZMA": with_member("fps", header("<f8", ()) + bytes(8), zipfile.ZIP_LZMA),
    "packed by bzip2": with_member("fps", header("<f8", ()) + bytes(8), zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_archives_are_refused_in_bounded_memory(walk, tmp_path, name):
    walk.save(tmp_path / "whole.npz")
    FILES[name](tmp_path / "whole.npz", tmp_path / "bad.npz")
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as caught:
            Reconstruction.load(tmp_path / "bad.npz")
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
    assert caught.value.message.endswith(".")


def test_an_invalid_file_is_one_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "absent.npz"):
        with pytest.raises(FormatError, match="no file"):
            Reconstruction.load(path)


@pytest.fixture(scope="module")
def moments(walk, tmp_path_factory):
    """A ``moments.bin``, unpacked: its header and the rest."""
    path = tmp_path_factory.mktemp("moments") / "moments.bin"
    kept = Moments()
    for frame in range(walk.num_frames):
        kept.add(prediction_of(walk, frame, (48, 64)))
    assert kept.write(path, walk)
    raw = gzip.decompress(path.read_bytes())
    (length,) = struct.unpack_from("<I", raw, 4)
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def packed(head, rest, magic=b"H3RM", length=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return gzip.compress(magic + struct.pack("<I", len(text) if length is None else length) + text + rest, 1)


def frame_change(key, value):
    return lambda head, rest: packed(head | {"frames": [head["frames"][0] | {key: value}, *head["frames"][1:]]}, rest)


def gzip_bomb(head, rest):
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as target:
        for _ in range(400):
            target.write(bytes(1_000_000))
    return stream.getvalue()


MOMENTS = {
    "nothing": lambda head, rest: b"",
    "no gzip": lambda head, rest: b"H3RM" * 20,
    "cut": lambda head, rest: packed(head, rest)[:-200],
    "a bomb": gzip_bomb,
    "another magic": lambda head, rest: packed(head, rest, b"GIF8"),
    "a header beyond the end": lambda head, rest: packed(head, rest, length=2**32 - 1),
    "a header of a list": lambda head, rest: packed([1], rest),
    "a header that is no json": lambda head, rest: packed(b"{", rest),
    "a deep header": lambda head, rest: packed(b"[" * 100_000, rest),
    "too few points": lambda head, rest: packed(head, rest[:-1]),
    "too many points": lambda head, rest: packed(head, rest + b"\0"),
    "no width": lambda head, rest: packed({key: head[key] for key in head if key != "width"}, rest),
    "a width of 0": lambda head, rest: packed(head | {"width": 0}, b""),
    "a huge width": lambda head, rest: packed(head | {"width": 10**12}, rest),
    "a width of text": lambda head, rest: packed(head | {"width": "64"}, rest),
    "frames of text": lambda head, rest: packed(head | {"frames": "abc"}, rest),
    "a rectangle of nan": lambda head, rest: packed(head | {"rect": [0, 0, NAN, 1]}, rest),
    "a lens of text": frame_change("K", "1234"),
    "a lens of infinity": frame_change("K", [INF, 1, 1, 1]),
    "a lens of 10^400": frame_change("K", [10**400, 1, 1, 1]),
    "a camera of eleven numbers": frame_change("T", [0.0] * 11),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_damaged_moments_are_refused_in_bounded_memory(walk, moments, tmp_path, name):
    path = tmp_path / "moments.bin"
    path.write_bytes(MOMENTS[name](*moments))
    tracemalloc.start()
    try:
        for use in (lambda: belongs_to(path, walk), lambda: coarsened(path.read_bytes(), 100)):
            with pytest.raises(FormatError):
                use()
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": "human3r-manifest/1", "files": {}}',
        b'{"schema": "human3r-manifest/1", "files": [[]]}',
        b'{"files": [{"name": 3}]}',
        b" " * 5_000_000,
    ],
)
def test_a_damaged_manifest_lists_nothing(walk, tmp_path, content):
    walk.save(tmp_path / "reconstruction.npz")
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    from human3r.commands.results import file_beside

    assert file_beside(tmp_path, MOMENTS_NAME) is None
    write_manifest(tmp_path, [tmp_path / "reconstruction.npz"], extends=True)


def test_random_damage_is_refused_or_exported(walk, small_body, tmp_path, monkeypatch):
    walk = replace(walk, meta=walk.meta | {"body": small_body.name})
    arrays = arrays_of(walk, tmp_path / "whole.npz")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(12):
        name = str(rng.choice([key for key in arrays if arrays[key].dtype.kind in "fiu" and arrays[key].size]))
        values = arrays[name].copy()
        flat = values.reshape(-1).view(np.uint8)
        flat[rng.integers(0, len(flat))] ^= np.uint8(rng.integers(1, 256))
        np.savez(tmp_path / "bad.npz", **(arrays | {name: values}))
        try:
            result = Reconstruction.load(tmp_path / "bad.npz")
            for file in ("a.glb", "a_bvh.zip", "a_amass.zip", "a.ply", "a.json", "a_colmap.zip", "a_tum.txt"):
                export(result, tmp_path / file, body=small_body)
        except Human3RError:
            refused += 1
    assert 0 < refused < 12


def test_a_clip_of_a_year_does_not_give_a_file_of_a_year(walk, small_body, tmp_path):
    time_s = walk.time_s.copy()
    time_s[-1] = 3e7
    with pytest.raises(InputError, match="rows"):
        export(replace(walk, time_s=time_s), tmp_path / "a_bvh.zip", body=small_body)
