"""The depth and camera benchmarks as miniatures through the whole command, with the ``tiny`` network."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from human3r.cli import main
from human3r.errors import FormatError
from human3r.evaluation import runner
from human3r.evaluation.benchmarks import SCENE_BENCHMARKS, tum
from human3r.evaluation.decoders import read_png_depth, read_sintel_camera, read_sintel_depth, read_trajectory
from human3r.evaluation.inference import open_session, prepare_resized
from human3r.evaluation.miniatures import scene_sets as miniatures
from human3r.evaluation.protocol import ScoreGroup, SequenceScores
from human3r.evaluation.reports.plots import sequence_plot
from human3r.evaluation.reports.report import published_rows
from human3r.evaluation.scoring import camera_pose
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model

WRITERS = {
    "sintel-depth": (miniatures.write_sintel, 2),
    "sintel-pose": (miniatures.write_sintel, 2),
    "bonn": (miniatures.write_bonn, 1),
    "kitti": (miniatures.write_kitti, 1),
    "tum-depth": (miniatures.write_tum_prepared, 1),
    "tum-pose": (miniatures.write_tum_original, 1),
    "scannet": (miniatures.write_scannet, 1),
}


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", device="cpu")


@pytest.fixture(autouse=True)
def _one_network(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is tested elsewhere; here it would be most of the time."""
    monkeypatch.setattr("human3r.inference.loading.model.load_model", lambda *_: tiny)


def run(name: str, folder: Path, out: Path, *more: str) -> int:
    return main(["evaluate", name, "--data", str(folder), "--model", "tiny", "--out", str(out), *more])


@pytest.mark.parametrize("name", WRITERS)
def test_a_miniature_runs_through_the_whole_command(name, tmp_path, capsys) -> None:
    write, num_sequences = WRITERS[name]
    write(tmp_path / "set")
    assert run(name, tmp_path / "set", tmp_path / "out", "--json", "--reference", "all") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["num_sequences"] == num_sequences
    plots = list((tmp_path / "out").glob("plots/*.png"))
    assert len(plots) == num_sequences
    worst = [frame["picture"] for item in summary["sequences"].values() for frame in item["worst"]]
    assert worst
    assert all(Image.open(tmp_path / "out" / path).width % miniatures.SIZE[1] == 0 for path in worst)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    expected = set(SCENE_BENCHMARKS[name].headline)
    assert expected <= summary["scores"].keys()
    assert all(np.isfinite(summary["scores"][key]) for key in expected)
    report = (tmp_path / "out/report.md").read_text()
    assert "tiny (this run)" in report
    assert all(f"](plots/{path.name})" in report for path in plots)
    assert all(f"]({path})" in report for path in worst)
    assert all(row.method in report for row in published_rows(name))


def test_every_public_benchmark_has_a_miniature() -> None:
    assert WRITERS.keys() == SCENE_BENCHMARKS.keys()


def test_scores_are_those_of_the_predictions(tiny, tmp_path) -> None:
    miniatures.write_bonn(tmp_path)
    benchmark = SCENE_BENCHMARKS["bonn"]
    [recording] = benchmark.find(tmp_path, benchmark.protocol)
    scores = runner.score_sequence(benchmark, recording, tiny)
    session = open_session(tiny, benchmark.protocol)
    distances, truths = [], []
    for index in range(4):
        prediction = session.step_prepared(prepare_resized(session, miniatures.picture(index)))
        z = np.asarray(Image.fromarray(prediction.pointmap_camera[..., 2].numpy()).resize((32, 24)))
        distances.append(z)
        truths.append(miniatures.depth(index))
    truth, z = np.stack(truths), np.stack(distances)
    valid = truth > 0
    metric = next(group for group in scores.groups if group.name == "metric")
    assert metric.weight == valid.sum() == 4 * (24 * 32 - 15)
    # Another resampling filter than the protocol's: near, not equal.
    assert metric.values["abs_rel"] == pytest.approx(np.mean(np.abs(z - truth)[valid] / truth[valid]), rel=0.05)
    assert scores.num_frames == 4


def test_a_second_run_uses_finished_sequences_and_computes_the_rest(tmp_path, monkeypatch, capsys) -> None:
    miniatures.write_sintel(tmp_path / "set")
    assert run("sintel-pose", tmp_path / "set", tmp_path / "out", "--max-sequences", "1", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["missing_sequences"] == [name for name in first["protocol"]["sequences"] if name != "alley_2"]
    computed = []
    real = runner.score_sequence
    monkeypatch.setattr(runner, "score_sequence", lambda *a: computed.append(a[1].name) or real(*a))
    assert run("sintel-pose", tmp_path / "set", tmp_path / "out", "--json") == 0
    captured = capsys.readouterr()
    second = json.loads(captured.out)
    assert computed == ["temple_3"]
    assert "alley_2: stored result" in captured.err
    assert second["sequences"]["alley_2"] == first["sequences"]["alley_2"]
    (tmp_path / "out/sequences/alley_2.json").write_text('{"schema": "human3r-ev')
    assert run("sintel-pose", tmp_path / "set", tmp_path / "out") == 0
    assert computed == ["temple_3", "alley_2"]


def test_results_of_another_protocol_are_not_reused(tmp_path, monkeypatch) -> None:
    miniatures.write_kitti(tmp_path / "set")
    assert run("kitti", tmp_path / "set", tmp_path / "out") == 0
    computed = []
    real = runner.score_sequence
    monkeypatch.setattr(runner, "score_sequence", lambda *a: computed.append(len(a[1].images)) or real(*a))
    assert run("kitti", tmp_path / "set", tmp_path / "out", "--frames", "3") == 0
    assert computed == [3]


def test_a_damaged_file_is_named_and_finished_sequences_are_kept(tmp_path, capsys) -> None:
    miniatures.write_sintel(tmp_path / "set")
    (tmp_path / "set/training/depth/temple_3/frame_0002.dpt").write_bytes(b"PIEH")
    assert run("sintel-depth", tmp_path / "set", tmp_path / "out") == 2
    assert "frame_0002.dpt is not a Sintel depth file" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out/sequences").iterdir()] == ["alley_2.json"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("nonsense", "Known: 3dpw, emdb1, emdb2, rich, bedlam, sintel-depth, bonn"),
        ("bonn", "holds no sequence of bonn. Expected rgbd_bonn_"),
    ],
)
def test_missing_data_is_one_sentence(name, pattern, tmp_path, capsys) -> None:
    assert run(name, tmp_path, tmp_path / "out") == 2
    assert pattern in capsys.readouterr().err


def test_averages_use_the_weights_and_skip_nan() -> None:
    def scores(weight: float, first: float, second: float) -> SequenceScores:
        return SequenceScores("s", 1, 0, 0.0, (ScoreGroup("g", weight, {"a": first, "b": second}),))

    assert runner.average((scores(1, 2.0, 5.0), scores(3, 4.0, float("nan")), scores(0, 99.0, 99.0))) == {
        "g.a": 3.5,
        "g.b": 5.0,
    }


def test_a_plot_shows_truth_and_prediction() -> None:
    truth = miniatures.cameras(8)
    predicted = truth.copy()
    predicted[4, :3, 3] += 0.1
    group = camera_pose.camera_group(predicted, truth)
    assert np.sqrt(np.mean(np.square(group.series["error_m"]))) == pytest.approx(group.values["ate_m"], abs=1e-5)
    pixels = np.asarray(Image.open(io.BytesIO(sequence_plot((group,), "s"))))
    left, right = pixels[:, :420], pixels[:, 420:]
    assert (left == (150, 150, 150)).all(-1).sum() > 100
    assert (left == (200, 60, 30)).all(-1).sum() > 100
    assert (right == (200, 60, 30)).all(-1).sum() > 100


def test_sintel_files_are_decoded_to_their_values(tmp_path) -> None:
    miniatures.save_dpt(tmp_path / "a.dpt", np.array([[1.5, 2.0, 70.25], [0.1, 1e4, 3.0]], np.float32))
    np.testing.assert_array_equal(
        read_sintel_depth(tmp_path / "a.dpt"), np.array([[1.5, 2.0, 70.25], [0.1, 1e4, 3.0]], np.float32)
    )
    K, T_world_camera = np.array([[800.0, 0, 511], [0, 801, 217], [0, 0, 1]]), miniatures.cameras(3)[2]
    miniatures.save_cam(tmp_path / "a.cam", K, T_world_camera)
    read_K, read_T = read_sintel_camera(tmp_path / "a.cam")
    np.testing.assert_array_equal(read_K, K)
    np.testing.assert_allclose(read_T, T_world_camera, atol=1e-12)


def test_png_depth_is_decoded_by_its_units(tmp_path) -> None:
    Image.fromarray(np.array([[0, 5000], [12345, 65535]], np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_png_depth(tmp_path / "a.png", 5000), [[0, 1], [2.469, 13.107]], rtol=1e-6)
    np.testing.assert_allclose(read_png_depth(tmp_path / "a.png", 256)[1], [48.22265625, 255.99609375], rtol=1e-6)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "eight.png")
    with pytest.raises(FormatError, match="not a 16-bit gray PNG"):
        read_png_depth(tmp_path / "eight.png", 256)


def test_trajectories_are_read_in_tum_and_matrix_form(tmp_path) -> None:
    half = np.sqrt(0.5)
    (tmp_path / "tum.txt").write_text(f"# comment\n12.5 1 2 3 0 0 {half} {half}\n13.5 4 5 6 0 0 0 1\n")
    timed = read_trajectory(tmp_path / "tum.txt")
    np.testing.assert_array_equal(timed.time_s, [12.5, 13.5])
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(timed.T_world_camera[0], expected, atol=1e-12)
    np.savetxt(tmp_path / "matrix.txt", np.array(expected, float).reshape(1, 16).repeat(2, 0))
    counted = read_trajectory(tmp_path / "matrix.txt")
    assert counted.time_s is None
    np.testing.assert_allclose(counted.T_world_camera[1], expected, atol=1e-12)
    (tmp_path / "bad.txt").write_text("1 2 3\n")
    with pytest.raises(FormatError, match="8, 12 or 16 numbers"):
        read_trajectory(tmp_path / "bad.txt")


def test_time_stamps_pair_one_to_one_within_the_tolerance() -> None:
    first, second = camera_pose.associate(np.array([1.0, 1.015, 2.0, 3.0]), np.array([1.012, 2.5, 3.005, 2.004]), 0.02)
    assert first.tolist() == [1, 2, 3]
    assert second.tolist() == [0, 3, 2]


def test_an_original_tum_download_is_sampled_every_third_frame(tmp_path) -> None:
    miniatures.write_tum_original(tmp_path)
    [recording] = tum.find_pose(tmp_path, SCENE_BENCHMARKS["tum-pose"].protocol)
    assert [path.stem for path in recording.images] == ["100.000000", "100.100000", "100.200000", "100.300000"]
    np.testing.assert_allclose(recording.read_trajectory().T_world_camera, miniatures.cameras(30)[::9], atol=1e-7)
    [with_depth] = tum.find_depth(tmp_path, SCENE_BENCHMARKS["tum-depth"].protocol)
    assert [path.stem for path in with_depth.depths] == ["100.005000", "100.105000", "100.205000", "100.305000"]


def test_the_resize_loader_sees_the_whole_frame(tiny) -> None:
    session = open_session(tiny, SCENE_BENCHMARKS["bonn"].protocol)
    prepared = prepare_resized(session, np.zeros((375, 1242, 3), np.uint8))
    assert prepared.image_uint8.shape == (64, 256, 3)
    assert prepared.source_rect_px == (0.0, 0.0, 1242.0, 375.0)
    square = prepare_resized(session, np.zeros((300, 300, 3), np.uint8))
    assert square.image_uint8.shape == (192, 256, 3)
