"""Whole runs of the tiny network: they learn, they resume bit for bit, and what is frozen stays as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from human3r.cli import main
from human3r.errors import FormatError, Human3RError, InputError, ResourceError
from human3r.inference.loading.model import load_model
from human3r.training.paper.checkpoint import save_network
from human3r.training.paper.config import PaperTraining, VariantSettings
from human3r.training.paper.data.clips import list_starts, plan_epoch
from human3r.training.paper.data.dataset import ClipDataset, load_batches
from human3r.training.paper.network import TrainedNetwork
from human3r.training.paper.processes import start_processes
from human3r.training.paper.train import PaperTrainer
from human3r.training.settings import read_settings

ROOT = Path(__file__).resolve().parents[4]


def _log(settings: PaperTraining) -> list[dict[str, float]]:
    return [json.loads(line) for line in (Path(settings.output) / "log.jsonl").read_text().splitlines()]


def _state(trained: TrainedNetwork) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in trained.state_dict().items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory, miniature, body):
    """A whole run: its settings, the weights at its start and at its end. A copy of its folder stays at iteration 6."""
    settings = _quick(miniature, tmp_path_factory.mktemp("run") / "whole")
    trainer = PaperTrainer(settings)
    start = _state(trainer.trained)
    trainer.run(last_iteration=6)
    shutil.copytree(settings.output, Path(settings.output).with_name("interrupted"))
    trainer.run()
    return settings, start, _state(trainer.trained), trainer


def _quick(miniature: Path, output: Path, **variant: str) -> PaperTraining:
    defaults = PaperTraining()
    data = replace(
        defaults.data, root=str(miniature), clips_per_epoch=8, validation_clips=2, validation_size=(32, 48),
        image_sizes=((32, 48), (48, 32)), image_size_weights=(2, 1), max_people=2, max_crop_enlargement=3, workers=0,
        ray_probability=0.3,
    )  # fmt: skip
    optimizer = replace(
        defaults.optimizer, epochs=3, warmup_epochs=0.5, learning_rate=3e-3, batch=2, precision="fp32",
        gradient_checkpointing=False,
    )  # fmt: skip
    return replace(
        defaults, model="tiny", output=str(output), device="cpu", log_every=1, keep_every=2, data=data,
        optimizer=optimizer, variant=VariantSettings(**variant),
    )  # fmt: skip


def test_losses_fall_and_the_validation_table_rises(run):
    settings = run[0]
    log = _log(settings)
    scores = [json.loads(line) for line in (Path(settings.output) / "validation.jsonl").read_text().splitlines()]

    assert [line["iteration"] for line in log] == list(range(1, 13))
    assert [line["epoch"] for line in scores] == [0, 1, 2, 3]
    early, late = log[:3], log[-3:]
    for name in ("loss", "head", "joints", "vertices", "joints_local", "mask"):
        assert sum(line[name] for line in late) < 0.95 * sum(line[name] for line in early), name
    assert scores[-1]["terms"]["total"] < 0.9 * scores[0]["terms"]["total"]
    assert scores[-1]["head_m"] < 0.8 * scores[0]["head_m"]
    assert scores[-1]["joints_mm"] < 0.8 * scores[0]["joints_mm"]
    table = (Path(settings.output) / "validation.txt").read_text().splitlines()
    assert len(table) == 5


def test_what_is_not_tuned_stays_bit_for_bit_and_all_that_is_tuned_moves(run):
    _, start, end, trainer = run

    changed = {name for name in start if not torch.equal(start[name], end[name])}

    assert changed == set(trainer.tuned)


def test_an_interrupted_run_ends_where_the_unbroken_one_does(run):
    settings = replace(run[0], output=str(Path(run[0].output).with_name("interrupted")))

    resumed = PaperTrainer(settings)
    assert resumed.progress.iteration == 6
    resumed.run()

    end = _state(resumed.trained)
    assert all(torch.equal(values, end[name]) for name, values in run[2].items())
    assert [line["loss"] for line in _log(run[0])] == [line["loss"] for line in _log(settings)]


def test_a_finished_run_writes_networks_that_every_command_accepts(run):
    settings, _, end, _ = run
    folder = Path(settings.output)

    model = load_model(str(folder / "model.safetensors"), device="cpu")

    weights = model.network.state_dict()
    assert all(torch.equal(values, end[f"network.{name}"]) for name, values in weights.items())
    assert (folder / "best.safetensors").is_file()
    assert set(load_file(folder / "tuned_0002.safetensors")) == set(run[3].tuned)


def test_a_run_does_not_resume_with_other_settings(run):
    changed = replace(run[0], optimizer=replace(run[0].optimizer, learning_rate=1.0))

    with pytest.raises(InputError, match="optimizer"):
        PaperTrainer(changed)


def test_accumulated_batches_make_one_iteration_of_their_mean(miniature, tmp_path):
    settings = _quick(miniature, tmp_path)
    settings = replace(settings, optimizer=replace(settings.optimizer, accumulation=2))
    trainer = PaperTrainer(settings)

    trainer.run(last_iteration=1)

    assert trainer.iterations_per_epoch == 2
    assert _log(settings)[0]["iteration"] == 1


def test_the_references_clipping_keeps_gradients_of_parts_that_do_not_change(miniature, tmp_path):
    settings = _quick(miniature, tmp_path, clipping="reference")
    trainer = PaperTrainer(settings)
    start = _state(trainer.trained)
    trainer.run(last_iteration=1)
    resumed = PaperTrainer(settings)

    name = "network.decoder.image_blocks.0.mlp.expand.weight"
    stale = trainer.trained.get_parameter(name).grad
    assert stale is not None
    assert torch.equal(stale, resumed.trained.get_parameter(name).grad)
    assert torch.equal(start[name], trainer.trained.state_dict()[name])
    assert trainer.trained.network.prompter.fuse.expand.weight.grad is None


def test_checkpointed_and_bf16_steps_work_and_checkpoints_change_nothing(miniature, tmp_path):
    losses = []
    for index, (precision, has_checkpoints) in enumerate((("fp32", False), ("fp32", True), ("bf16", True))):
        settings = _quick(miniature, tmp_path / str(index))
        optimizer = replace(settings.optimizer, precision=precision, gradient_checkpointing=has_checkpoints)
        trainer = PaperTrainer(replace(settings, optimizer=optimizer))
        trainer.progress.iteration = 1  # without the validation before the first
        trainer.run(last_iteration=2)
        losses.append(_log(settings)[0])

    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2]["loss"] == pytest.approx(losses[0]["loss"], rel=0.1)
    assert losses[2]["loss"] != losses[0]["loss"]


def test_the_papers_reading_of_masks_and_detection_trains_and_runs(miniature, tmp_path):
    names = {"mask_source": "image", "detection_head": "tuned", "detection_loss": "bce", "truncated_heads": "clamp"}
    trainer = PaperTrainer(_quick(miniature, tmp_path, **names))
    start = _state(trainer.trained)
    trainer.progress.iteration = 1  # without the validation before the first
    trainer.run(last_iteration=2)
    save_network(tmp_path / "mine.safetensors", trainer.trained)

    model = load_model(str(tmp_path / "mine.safetensors"), device="cpu")

    moved = {name for name, values in _state(trainer.trained).items() if not torch.equal(values, start[name])}
    assert {"network.human_prior.score.contract.bias", "network.mask_head.mlp.contract.weight"} <= moved
    network = model.network
    with torch.no_grad():
        prediction, _ = network.step(network.encode(torch.zeros(1, 3, 32, 48)), network.initial_state())
    assert prediction.person_mask.shape == (32, 48)
    assert network.mask_head.mlp.contract.out_features == 16 * 16


def test_a_loss_that_is_not_finite_stops_the_run(miniature, tmp_path):
    trainer = PaperTrainer(_quick(miniature, tmp_path))
    trainer.progress.iteration = 1  # without the validation before the first
    with torch.no_grad():
        trainer.trained.network.person_head.translation.contract.bias.fill_(float("nan"))

    with pytest.raises(Human3RError, match=r"not finite.*head"):
        trainer.run(last_iteration=2)


def test_published_configurations_are_readable_and_say_what_they_tune(capsys):
    configs = sorted((ROOT / "human3r" / "training" / "configs").glob("paper_*.toml"))
    assert [path.stem for path in configs] == [f"paper_{name}" for name in ("672b", "672l", "672s", "896l", "tiny")]
    for path in configs:
        assert main(["train", str(path), "--count"]) == 0
    assert "tuned       67,681,561" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["modle = 'tiny'", "[losses]\nheads = 1.0", "[data]\nroot = 'a'\nimage_size = [1, 2]"])
def test_unknown_keys_are_refused(tmp_path, text):
    path = tmp_path / "paper_mine.toml"
    path.write_text(text)

    with pytest.raises(FormatError, match="unknown settings"):
        read_settings(PaperTraining, path)
    assert main(["train", str(path)]) == 2


@pytest.mark.parametrize(
    "text",
    ["model = 'huge'", "[variant]\ntuned = 'all'", "[data]\nvalidation_size = [100, 200]", "[optimizer]\nbatch = 0"],
)
def test_impossible_values_are_refused(tmp_path, text):
    path = tmp_path / "paper_mine.toml"
    path.write_text(text)

    assert main(["train", str(path)]) == 2


def test_several_processes_without_accelerate_are_one_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)

    with pytest.raises(ResourceError, match="needs the package 'accelerate'"):
        start_processes("cpu")


@pytest.mark.slow
def test_worker_processes_prepare_the_same_clips(miniature, tmp_path):
    data = _quick(miniature, tmp_path).data
    dataset = ClipDataset(miniature / "Training", list_starts(miniature, "Training"), data)
    batches = plan_epoch(len(dataset.starts), 0, 0, 2, data)

    alone, shared = (list(load_batches(dataset, batches, workers)) for workers in (0, 2))

    assert len(alone) == len(shared) == 4
    for left, right in zip(alone, shared, strict=True):
        assert torch.equal(left.image, right.image)
        assert torch.equal(left.people.joint_rotations, right.people.joint_rotations)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_one_network(miniature, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    lines = [
        "model = 'tiny'", f"output = '{tmp_path / 'run'}'", "device = 'cpu'", "log_every = 1",
        "[data]", f"root = '{miniature}'", "clips_per_epoch = 8", "validation_clips = 4", "validation_size = [32, 48]",
        "image_sizes = [[32, 48]]", "image_size_weights = [1]", "max_people = 2", "workers = 0",
        "[optimizer]", "epochs = 2", "warmup_epochs = 0.5", "learning_rate = 3e-3", "batch = 2", "precision = 'fp32'",
        "accumulation = 2",
    ]  # fmt: skip
    config = tmp_path / "paper_two.toml"
    config.write_text("\n".join(lines))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

    result = subprocess.run(
        [*command, "-m", "human3r", "train", str(config)], env=environment, capture_output=True, text=True, cwd=ROOT
    )

    assert result.returncode == 0, result.stderr
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in log] == [1, 2]
    assert len((tmp_path / "run" / "validation.txt").read_text().splitlines()) == 4
    assert (tmp_path / "run" / "model.safetensors").is_file()
