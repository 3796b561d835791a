"""3DPW, EMDB, RICH and BEDLAM as miniatures: perfect predictions have no error, defects show, and the command runs."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from human3r.bodies import to_joint_rotations, transform_parameters
from human3r.cli import main
from human3r.errors import AssetIntegrityError, AssetMissingError, FormatError
from human3r.evaluation.benchmarks import emdb, people_benchmarks, rich, threedpw
from human3r.evaluation.benchmarks.annotations import Annotation
from human3r.evaluation.bodies.body_kit import BodyKit
from human3r.evaluation.miniatures import MINIATURES, body_files
from human3r.evaluation.miniatures import staged_people as stage
from human3r.evaluation.protocol import Benchmark, PosedPeople, Recording, ScoreGroup
from human3r.evaluation.reference import with_references
from human3r.evaluation.reports.report import published_rows
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.records import BodyParameters, Camera, FramePrediction, People, empty_people

NAMES = ("3dpw", "emdb1", "emdb2", "rich", "bedlam")


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    body_files.write_body_files(folder)
    return folder


@pytest.fixture(scope="module")
def kit(bodies: Path) -> BodyKit:
    return BodyKit(bodies)


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", device="cpu")


def open_benchmark(name: str, kit: BodyKit, root: Path, reference: str | None = None) -> tuple[Benchmark, Recording]:
    MINIATURES[name](root)
    benchmark = people_benchmarks(kit)[name]
    benchmark = with_references(benchmark, reference) if reference else benchmark
    [recording] = benchmark.find(root, benchmark.protocol)
    return benchmark, recording


def predict(
    walks: list[stage.Walk], frame: int, T_world_camera: np.ndarray, T_world_first: np.ndarray
) -> FramePrediction:
    """Say of a frame of the stage what a perfect network would: the world is the first camera."""
    rotations = np.stack([stage.smplx_rotations(person.axis_angle[frame]) for person in walks])
    pieces = {
        "global_orient": rotations[:, 0],
        "body_pose": rotations[:, 1:22],
        "jaw_pose": rotations[:, 22],
        "leye_pose": rotations[:, 23],
        "reye_pose": rotations[:, 24],
        "left_hand_pose": rotations[:, 25:40],
        "right_hand_pose": rotations[:, 40:],
        "transl": np.stack([person.transl[frame] for person in walks]),
        "betas": np.stack([person.betas for person in walks]),
        "expression": np.zeros((len(walks), 10)),
    }
    on_stage = BodyParameters(**{name: torch.from_numpy(values).float() for name, values in pieces.items()})
    body = stage.embedded_body()
    parameters = transform_parameters(on_stage, torch.from_numpy(np.linalg.inv(T_world_first)).float(), body)
    joints = body.joints(parameters)
    T_first_camera = torch.from_numpy(np.linalg.inv(T_world_first) @ T_world_camera).float()
    people = People(
        track_id=torch.arange(len(walks)),
        score=torch.ones(len(walks)),
        head_uv_px=torch.zeros(len(walks), 2),
        joint_rotations=to_joint_rotations(parameters),
        betas=parameters.betas,
        expression=parameters.expression,
        head_camera=joints[:, 15],
    )
    return FramePrediction(
        frame_index=frame,
        time_s=frame / 30,
        camera=Camera(torch.from_numpy(stage.K).float(), T_first_camera, stage.SIZE),
        people=people,
        parameters_world=parameters,
        joints_world=joints,
        pointmap_camera=torch.ones(2, 2, 3),
        confidence=torch.ones(2, 2),
        person_mask=torch.zeros(2, 2),
        image=torch.zeros(2, 2, 3, dtype=torch.uint8),
        source_rect_px=(0.0, 0.0, float(stage.SIZE[1]), float(stage.SIZE[0])),
    )


def perfect_predictions(name: str) -> Iterator[FramePrediction]:
    """Everyone where they are, in the frames that the benchmark scores."""
    if name == "bedlam":
        walks, frames, cameras = [stage.walk(2, -1.0), stage.walk(2, 1.0, phase=1.5)], [0, 1], stage.cameras(2)
    elif name == "rich":
        walks, frames, cameras = [stage.walk(6)], list(range(6)), np.repeat(stage.cameras(1, is_static=True), 6, 0)
    elif name == "3dpw":
        walks, frames, cameras = [stage.walk(6, -1.0), stage.walk(6, 1.0, phase=1.5)], [0, 1, 3, 4, 5], stage.cameras(6)
    else:
        walks, frames, cameras = [stage.walk(6)], [0, 2, 3, 4, 5], stage.cameras(6)
    for frame in frames:
        shown = walks[1:] if name == "3dpw" and frame == 4 else walks
        yield predict(shown, frame, cameras[frame], cameras[frames[0]])


def score(benchmark: Benchmark, recording: Recording, predictions: Iterator[FramePrediction]) -> dict[str, ScoreGroup]:
    groups = benchmark.score(recording, benchmark.protocol, predictions)
    return {group.name: group for group in groups}


@pytest.mark.parametrize("name", NAMES)
def test_perfect_predictions_have_no_error(name: str, kit: BodyKit, tmp_path: Path) -> None:
    benchmark, recording = open_benchmark(name, kit, tmp_path)
    groups = score(benchmark, recording, perfect_predictions(name))
    # RICH's truth has mean hands where the walkers' are flat: surfaces differ there, and hand joints with them.
    hands_mm = 8.0 if name == "rich" else 0.01
    values = groups["people"].values
    assert max(value for key, value in values.items() if key.startswith(("pa_", "mpjpe", "pve", "metric"))) < hands_mm
    assert values["root_error_mm"] < 0.01
    assert groups["detection"].values["precision"] == 100
    assert groups["observations"].values["missed"] == (2 if name == "bedlam" else 0)
    if name in ("emdb2", "rich"):
        assert groups["world"].values["wa_mpjpe_mm"] < hands_mm
        assert groups["world"].values["rte_percent"] < 0.1
        assert groups["world"].values["foot_sliding_mm"] < 10.0


def test_a_camera_wrongly_predicted_static_affects_world_errors_only(kit: BodyKit, tmp_path: Path) -> None:
    benchmark, recording = open_benchmark("emdb2", kit, tmp_path)
    walker, cameras = [stage.walk(6)], stage.cameras(6)
    predictions = [predict(walker, frame, cameras[frame], cameras[frame]) for frame in (0, 2, 3, 4, 5)]
    groups = score(benchmark, recording, iter(predictions))
    assert groups["people"].values["mpjpe_mm"] < 0.01
    assert groups["world"].values["wa_mpjpe_mm"] > 1.0


def test_the_gender_defect_is_reported_beside_the_corrected_result(kit: BodyKit, tmp_path: Path) -> None:
    benchmark, recording = open_benchmark("3dpw", kit, tmp_path, "gender-slot")
    groups = score(benchmark, recording, perfect_predictions("3dpw"))
    assert groups["people"].values["pve_mm"] < 0.01
    assert groups["people_reference"].values["pve_mm"] > 5.0
    assert groups["people_reference"].weight == groups["people"].weight == 9


def annotation_of(genders: tuple[str, ...], is_valid: list[list[int]]) -> Annotation:
    valid = np.array(is_valid, bool)
    people, frames = valid.shape
    return Annotation(
        poses=np.zeros((people, frames, 24, 3)),
        betas=np.zeros((people, 10)),
        transl=np.zeros((people, frames, 3)),
        genders=genders,
        is_valid=valid,
        T_world_camera=np.tile(np.eye(4), (frames, 1, 1)),
        K=np.eye(3),
    )


@pytest.mark.parametrize(
    ("genders", "is_valid", "female"),
    [
        (("male", "female"), [[1, 1, 1], [1, 1, 1]], [(0, 1)]),
        (("female", "female"), [[1, 1, 1], [1, 1, 1]], [(0, 0), (0, 1)]),
        (("female",), [[1, 1, 1]], [(0, 0)]),
        (("male", "male"), [[1, 1, 1], [1, 1, 1]], []),
        (("male", "female"), [[1, 0, 1], [1, 1, 1]], [(0, 0), (0, 1)]),
    ],
    ids=["second woman", "two women", "one woman", "two men", "a woman alone takes the first place"],
)
def test_the_reference_makes_only_rows_of_the_first_frame_female(genders, is_valid, female) -> None:
    annotation = annotation_of(genders, is_valid)
    found = threedpw.reference_genders(annotation, np.arange(3))
    assert [place for place, gender in found.items() if gender == "female"] == female


def test_spectral_matching_and_rounding_are_reported_as_reference(kit: BodyKit, tmp_path: Path) -> None:
    benchmark, recording = open_benchmark("emdb1", kit, tmp_path, "all")
    predictions = [
        predict([stage.walk(6, 0.02)], frame, stage.cameras(6)[frame], stage.cameras(6)[0]) for frame in (0, 2, 3, 4, 5)
    ]
    groups = score(benchmark, recording, iter(predictions))
    exact, rounded = groups["people"].values, groups["people_reference"].values
    assert exact["root_error_mm"] != round(exact["root_error_mm"], 1)
    assert rounded == {name: round(value, 1) for name, value in exact.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_runs_through_the_whole_command(name, bodies, tiny, tmp_path, monkeypatch, capsys) -> None:
    loaded = []
    monkeypatch.setattr("human3r.inference.loading.model.load_model", lambda *options: loaded.append(options) or tiny)
    command = ["evaluate", name, "--miniature", "--bodies", str(bodies), "--model", "tiny", "--out", str(tmp_path)]
    assert main([*command, "--reference", "all", "--report", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert loaded == [("tiny", "auto", "auto", bodies / "SMPLX_NEUTRAL.npz")]
    assert summary["num_sequences"] == 1
    assert summary["is_miniature"]
    assert not summary["is_complete"]
    assert "miniature" in summary["protocol"]["title"]
    scores, [sequence] = summary["scores"], summary["sequences"].values()
    assert (
        scores["observations.true"]
        == scores["observations_reference.true"]
        == {"3dpw": 9, "rich": 6, "bedlam": 6}.get(name, 5)
    )
    assert sequence["worst"]
    assert all(Image.open(tmp_path / frame["picture"]).size == (320, 240) for frame in sequence["worst"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img ") == 1 + len(sequence["worst"])
    own, elsewhere = page.split("<h2>Published rows, real data</h2>")
    assert "do not measure the model" in own
    assert all(f"<td>{row.method}</td>" in elsewhere for row in published_rows(name))
    assert not any(f"<td>{row.method}</td>" in own for row in published_rows(name))
    assert "http" not in page.split("<body>")[0]


def test_missing_body_files_are_named_with_their_source_and_option(tmp_path, capsys) -> None:
    MINIATURES["3dpw"](tmp_path)
    assert main(["evaluate", "3dpw", "--data", str(tmp_path), "--model", "tiny", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    for word in ("SMPL_MALE.pkl", "SMPL_FEMALE.pkl", "smplx2smpl.pkl", "J_regressor_h36m.npy", "SMPLX_NEUTRAL.npz"):
        assert word in said
    assert "--bodies DIR" in said
    assert "https://smpl.is.tue.mpg.de" in said
    with pytest.raises(AssetMissingError, match="1 of 2 are missing"):
        BodyKit(tmp_path, neutral_body=tmp_path / "SMPLX_NEUTRAL.npz").require("smplx_neutral", "transfer")


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ([], "Give --data DIR, or --miniature"),
        (["--miniature", "--data", "."], "Leave out --data"),
        (["--miniature", "--reference", "adam-shift"], "does not apply to emdb1"),
        (["--miniature", "--reference", "nonsense"], "is unknown to emdb1. Choose all, or of spectral-matching"),
        (["--miniature", "--bodies", "none"], "There is no folder 'none'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, pattern, tmp_path, capsys) -> None:
    assert main(["evaluate", "emdb1", "--out", str(tmp_path), *options]) == 2
    assert pattern in capsys.readouterr().err


def _changed(change: Callable[[dict], None], path: Path) -> None:
    content = pickle.loads(path.read_bytes())
    change(content)
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda content: content.pop("cam_poses"), "no field 'cam_poses'"),
        (lambda content: content["trans"].pop(), "no list 'trans' of 2 items"),
        (lambda content: content.update(genders=["m", "x"]), "without shape or gender"),
        (lambda content: content.update(poses=[np.zeros((6, 71))] * 2), r"'poses' .* has the shape \(6, 71\)"),
        (lambda content: content.update(cam_intrinsics=np.full((3, 3), np.nan)), "not finite"),
        (lambda content: content.update(campose_valid=[np.ones(9)] * 2), r"'campose_valid' .* has the shape \(9,\)"),
    ],
)
def test_damaged_annotations_are_named(change, pattern, kit, tmp_path) -> None:
    MINIATURES["3dpw"](tmp_path)
    _changed(change, tmp_path / "sequenceFiles/test/downtown_miniature_00.pkl")
    benchmark = people_benchmarks(kit)["3dpw"]
    with pytest.raises(FormatError, match=pattern):
        benchmark.find(tmp_path, benchmark.protocol)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda content: content.pop("smpl"), "no field 'poses_root'"),
        (lambda content: content["smpl"].pop("betas"), "no field 'betas'"),
        (lambda content: content.update(gender="robot"), "no gender"),
        (lambda content: content["camera"].update(extrinsics=np.zeros((6, 3, 4))), r"has the shape \(6, 3, 4\)"),
        (lambda content: content.update(good_frames_mask=None), "no field 'good_frames_mask'"),
    ],
)
def test_damaged_annotations_of_emdb_are_named(change, pattern, tmp_path) -> None:
    MINIATURES["emdb1"](tmp_path)
    path = tmp_path / "P1/14_miniature/P1_14_miniature_data.pkl"
    _changed(change, path)
    with pytest.raises(FormatError, match=pattern):
        emdb.read_annotation(path, "emdb1")


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda label: label.pop("frame_id"), "no field 'frame_id'"),
        (lambda label: label.pop("gender"), "no body or gender"),
        (lambda label: label["gt_smplx_params"].pop("betas"), "no field 'betas'"),
        (lambda label: label["gt_smplx_params"].update(betas=torch.zeros(4, 10)), "4 shapes for 6 frames"),
        (lambda label: label["gt_smplx_params"].update(transl=torch.zeros(5, 3)), r"has the shape \(5, 3\)"),
    ],
)
def test_damaged_labels_of_rich_are_named(change, pattern, tmp_path) -> None:
    MINIATURES["rich"](tmp_path)
    labels = torch.load(tmp_path / rich.LABELS, weights_only=True)
    change(next(iter(labels.values())))
    torch.save(labels, tmp_path / rich.LABELS)
    with pytest.raises(FormatError, match=pattern):
        rich.read_annotations(tmp_path)


def test_a_video_of_rich_without_a_camera_is_named(tmp_path) -> None:
    MINIATURES["rich"](tmp_path)
    torch.save({"Hall_1": (torch.eye(4), torch.eye(3))}, tmp_path / rich.CAMERAS)
    with pytest.raises(FormatError, match="no camera 'Room_1'"):
        rich.read_annotations(tmp_path)


def test_frames_without_predictions_are_misses(kit: BodyKit, tmp_path: Path) -> None:
    benchmark, recording = open_benchmark("emdb2", kit, tmp_path, "all")
    nobody = [
        replace(frame, people=empty_people(), parameters_world=frame.parameters_world.map(lambda values: values[:0]))
        for frame in perfect_predictions("emdb2")
    ]
    groups = score(benchmark, recording, iter(nobody))
    assert groups["detection"].values["recall"] == 0
    assert groups["detection"].weight == 5
    assert groups["detection"].series["missed"] == (1, 1, 1, 1, 1)
    assert "people" not in groups


def test_missing_images_are_counted(kit, tmp_path) -> None:
    MINIATURES["3dpw"](tmp_path)
    (tmp_path / "imageFiles/downtown_miniature_00/image_00003.jpg").unlink()
    benchmark = people_benchmarks(kit)["3dpw"]
    with pytest.raises(FormatError, match="5 images and 6 annotated frames"):
        benchmark.find(tmp_path, benchmark.protocol)


def test_emdb_subsets_agree_with_the_flags_of_the_files(tmp_path) -> None:
    MINIATURES["emdb1"](tmp_path)
    path = tmp_path / "P1/14_miniature/P1_14_miniature_data.pkl"
    assert emdb.read_annotation(path, "emdb1").genders == ("male",)
    with pytest.raises(FormatError, match="not part of emdb2"):
        emdb.read_annotation(path, "emdb2")
    assert (len(emdb.EMDB_1), len(emdb.EMDB_2)) == (17, 25)
    assert set(emdb.EMDB_1) & set(emdb.EMDB_2) == {"P6/49", "P7/57", "P8/64"}


def test_bad_frames_of_emdb_never_reach_the_network(kit, tmp_path) -> None:
    _, recording = open_benchmark("emdb1", kit, tmp_path)
    assert [path.stem for path in recording.images] == ["00000", "00002", "00003", "00004", "00005"]


def test_bedlam_takes_every_25th_frame(kit, tmp_path) -> None:
    _, recording = open_benchmark("bedlam", kit, tmp_path)
    assert [path.stem for path in recording.images] == ["00000", "00025"]
    truth: PosedPeople = recording.read_people(1)
    assert len(truth.identity) == 3
    assert (truth.joints_camera[2, :, 2] < 0).all()


def test_a_stand_in_for_smpl_is_the_embedded_body_in_smpl_s_format(kit) -> None:
    rng = np.random.default_rng(3)
    axis_angle, betas, transl = rng.normal(0, 0.3, (2, 24, 3)), rng.normal(0, 1, (2, 10)), rng.normal(0, 1, (2, 3))
    axis_angle[:, 22:] = 0
    rotations = np.stack([stage.smplx_rotations(pose) for pose in axis_angle])
    smpl, smplx = (
        kit.pose_smpl("neutral", axis_angle, betas, transl),
        kit.pose_smplx("neutral", rotations, betas, transl),
    )
    np.testing.assert_allclose(smpl, smplx, atol=1e-6)
    heavier = betas.copy()
    heavier[:, 0] += body_files.GENDER_BETA["male"]
    np.testing.assert_allclose(
        kit.pose_smpl("male", axis_angle, betas, transl),
        kit.pose_smpl("neutral", axis_angle, heavier, transl),
        atol=1e-6,
    )


def test_an_invalid_body_file_is_refused(bodies, tmp_path) -> None:
    for name in ("SMPL_NEUTRAL.pkl", "smplx2smpl.pkl", "J_regressor_h36m.npy"):
        (tmp_path / name).write_bytes(pickle.dumps({"v_template": np.zeros((10, 3))}))
    damaged = BodyKit(tmp_path)
    with pytest.raises(AssetIntegrityError, match=r"SMPL_NEUTRAL\.pkl"):
        damaged.pose_smpl("neutral", np.zeros((1, 24, 3)), np.zeros((1, 10)), np.zeros((1, 3)))
    with pytest.raises(FormatError, match="no matrix of 6890 x 10475"):
        _ = damaged.transfer
    with pytest.raises(FormatError, match=r"J_regressor_h36m\.npy is not a NumPy array"):
        _ = damaged.lsp14_regressor
