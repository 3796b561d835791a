"""What is tuned and what is not, where tensors come from, and gradients of the whole network."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from human3r.assets.conversion.convert import extract_tensors, network_layout
from human3r.assets.conversion.convert_tensors import multi_hmr_tensors, stored_tensors
from human3r.bodies import SmplxBody
from human3r.errors import CheckpointError
from human3r.models.config import PRESETS
from human3r.records import TensorRecord
from human3r.training.paper import criterion, initial
from human3r.training.paper.config import InitialSettings, PaperTraining, VariantSettings
from human3r.training.paper.counts import count_parameters
from human3r.training.paper.criterion import loss_terms, prepare_targets
from human3r.training.paper.data.clips import list_starts, plan_validation
from human3r.training.paper.data.dataset import ClipDataset, TrueClips, load_batches
from human3r.training.paper.initial import initialize, origin_of, source_key
from human3r.training.paper.network import TrainedNetwork
from human3r.training.paper.optimizer import learning_rate


@pytest.mark.parametrize(
    ("model", "tuned"), [("human3r_896l", 67_681_561), ("human3r_672b", 51_879_705), ("human3r_672s", 32_354_841)]
)
def test_the_published_number_of_parameters_is_tuned(model: str, tuned: int):
    counts = count_parameters(model, VariantSettings())

    assert sum(counts["tuned"].values()) == tuned
    assert counts["tuned"]["image_padding"] == 1024


def test_parameters_of_the_large_network_by_module():
    counts = count_parameters("human3r_896l", VariantSettings())

    assert counts["tuned"] == {
        "image_padding": 1_024, "human_padding": 1_024, "prompter.fuse": 23_077_632, "mask_head.mlp": 1_250_500,
        "person_head.rotations": 15_131_966, "person_head.betas": 12_923_914, "person_head.expression": 12_923_914,
        "person_head.translation": 2_371_587,
    }  # fmt: skip
    assert {"image_encoder.blocks", "human_prior.backbone", "human_prior.score", "prompter.offset"} <= set(
        counts["frozen"]
    )
    assert {"decoder.image_blocks", "memory.read_blocks", "point_head.dpt", "camera_head.mlp"} <= set(counts["flowing"])


@pytest.mark.parametrize(
    ("variant", "more"),
    [
        (VariantSettings(detection_head="tuned"), {"human_prior.score"}),
        (VariantSettings(tuned="prompts_and_decoder"), {"decoder", "decoder.image_blocks", "decoder.state_norm"}),
    ],
)
def test_variants_tune_more(variant: VariantSettings, more: set[str]):
    plain, tuned = (set(count_parameters("tiny", chosen)["tuned"]) for chosen in (VariantSettings(), variant))
    assert more <= tuned - plain


def test_schedule_at_the_published_iterations():
    settings = PaperTraining().optimizer

    rates = [learning_rate(iteration / 500, settings) for iteration in (0, 1250, 2500, 11250, 20000)]

    assert rates == pytest.approx([0, 5e-5, 1e-4, 5.05e-5, 1e-6], rel=1e-9)


@pytest.mark.parametrize("model", ["human3r_896l", "human3r_672s", "tiny"])
def test_every_key_of_a_released_checkpoint_comes_from_one_of_the_files_or_is_fresh(model: str):
    config = PRESETS[model]
    _, layout = network_layout(config)
    with torch.device("meta"):
        names = list(TrainedNetwork(config, VariantSettings()).state_dict())

    found = set()
    for name in names:
        if name in ("image_padding", "human_padding"):
            found.add({"image_padding": "masked_smpl_token", "human_padding": "mhmr_masked_smpl_token"}[name])
            continue
        key = source_key(name)
        found.add(f"downstream_head.{key}" if key.startswith(("mlp_classif", "mlp_offset")) else key)
    rays = {key for key in layout.ignored if "ray_map" in key and key != "masked_ray_map_token"}
    assert rays <= found
    assert set(layout.mapped) | rays | {"masked_smpl_token", "mhmr_masked_smpl_token"} == found


def _trained(seed: int, variant: VariantSettings | None = None) -> TrainedNetwork:
    trained = TrainedNetwork(PRESETS["tiny"], variant or VariantSettings())
    initialize(trained, InitialSettings(), seed)
    return trained


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, TrainedNetwork]:
    """Files as CUT3R and Multi-HMR would have saved them, of a miniature, and the network they were made from."""
    folder, trained = tmp_path_factory.mktemp("sources"), _trained(seed=5)
    state = trained.state_dict()
    cut3r = {source_key(name): values for name, values in state.items() if origin_of(name) == "cut3r"}
    cut3r |= {"masked_img_token": torch.zeros(1, 64), "masked_ray_map_token": torch.zeros(1, 64)}
    scratch = "downstream_head.dpt_self.scratch"
    cut3r[f"{scratch}.layer_rn.0.weight"] = cut3r[f"{scratch}.layer1_rn.weight"]
    multi_hmr = {source_key(name): values for name, values in state.items() if origin_of(name) == "multi_hmr"}
    multi_hmr |= {"backbone.encoder.mask_token": torch.zeros(1, 32), "x_attention_head.a.weight": torch.zeros(2, 2)}
    torch.save({"model": cut3r, "epoch": 3}, folder / "cut3r.pth")
    torch.save({"model_state_dict": multi_hmr}, folder / "multi_hmr.pt")
    return folder / "cut3r.pth", folder / "multi_hmr.pt", trained


def test_both_files_fill_the_parameters_that_are_not_new(sources):
    cut3r, multi_hmr, origin = sources
    trained = TrainedNetwork(PRESETS["tiny"], VariantSettings())

    initialize(trained, InitialSettings(cut3r=str(cut3r), multi_hmr=str(multi_hmr)), seed=1)

    expected = origin.state_dict()
    for name, values in trained.state_dict().items():
        is_equal = torch.equal(values, expected[name])
        # Mean bodies are the same in every start; all other fresh tensors follow from the seed.
        assert is_equal == (origin_of(name) != "fresh" or ".mean_" in name), name


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch):
    """Read the files without the child process, which is not what is tested."""
    read = {"cut3r": stored_tensors, "multi_hmr": multi_hmr_tensors}
    monkeypatch.setattr(initial, "convert_in_child", lambda kind, *paths: extract_tensors(*paths, read[kind]))


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_does_not_fit_is_refused(sources, tmp_path: Path, which: int):
    stored = torch.load(sources[which], weights_only=True)
    entry = ("model", "model_state_dict")[which]
    missing, reshaped = (
        ("dec_blocks.1.norm1.bias", "dec_blocks.1.norm2.bias"), ("mlp_offset.2.bias", "mlp_offset.0.bias")
    )[which]  # fmt: skip
    del stored[entry][missing]
    stored[entry] |= {reshaped: torch.zeros(3, 3), "surprise.weight": torch.zeros(1)}
    torch.save(stored, tmp_path / "changed.pt")
    paths = [str(sources[0]), str(sources[1])]
    paths[which] = str(tmp_path / "changed.pt")

    with pytest.raises(CheckpointError) as caught:
        initialize(_trained(1), InitialSettings(cut3r=paths[0], multi_hmr=paths[1]), seed=1)

    found = [
        f"1 missing (first: {missing})",
        "1 unknown (first: surprise.weight)",
        f"1 of wrong shape (first: {reshaped})",
    ]
    assert ", ".join(found) in str(caught.value)


@pytest.mark.usefixtures("in_this_process")
def test_a_checkpoint_without_state_decoder_lends_it_the_image_decoder(sources, tmp_path: Path):
    stored = torch.load(sources[0], weights_only=True)
    stored["model"] = {key: value for key, value in stored["model"].items() if not key.startswith("dec_blocks_state.")}
    torch.save(stored, tmp_path / "old.pth")
    trained = _trained(1)

    initialize(trained, InitialSettings(cut3r=str(tmp_path / "old.pth")), seed=1)

    decoder = trained.network.decoder
    image, state = decoder.image_blocks.state_dict(), decoder.state_blocks.state_dict()
    assert all(torch.equal(values, state[name]) for name, values in image.items())


def test_the_mean_body_overwrites_the_first_rotations(tmp_path: Path):
    pose = np.random.default_rng(0).normal(size=(24, 6))
    np.savez(tmp_path / "mean.npz", pose=pose, shape=np.arange(10.0), cam=np.zeros(3))
    trained = _trained(1)
    initialize(trained, InitialSettings(mean_body=str(tmp_path / "mean.npz")), seed=1)

    rotations = trained.network.person_head.mean_rotations.view(53, 6)
    assert torch.allclose(rotations[:24], torch.from_numpy(pose).float())
    assert rotations[24:].tolist() == [[1, 0, 0, 1, 0, 0]] * 29
    assert trained.network.person_head.mean_betas[0].tolist() == list(range(10))


@pytest.fixture(scope="module")
def clips(miniature: Path, settings_of_module: PaperTraining) -> TrueClips:
    data = settings_of_module.data
    dataset = ClipDataset(miniature / "Test", list_starts(miniature, "Test"), data)
    return next(iter(load_batches(dataset, plan_validation(len(dataset.starts), 2, data), 0)))


@pytest.fixture(scope="module")
def settings_of_module() -> PaperTraining:
    settings = PaperTraining(model="tiny")
    return replace(settings, data=replace(settings.data, validation_size=(32, 48), max_people=3, workers=0))


def test_clips_hold_the_truth_in_the_network_image(clips: TrueClips):
    assert clips.image.shape == (2, 4, 3, 32, 48)
    assert clips.people.joint_rotations.shape == (2, 4, 3, 53, 3, 3)
    assert clips.image.abs().max() <= 1
    assert 0 < clips.person_mask.mean() < 0.5
    assert clips.people.is_present.any(dim=-1).all()


def test_gradients_of_every_term_reach_the_tuned_part_and_equal_the_numerical_ones(
    clips: TrueClips, body: SmplxBody, monkeypatch: pytest.MonkeyPatch
):
    # The scale depends on the confidences, and by definition no gradient follows it: it is held.
    monkeypatch.setattr(criterion, "scene_scale", lambda truths, confidences, valid: truths[0].new_full((1,), 2.5))
    variant = VariantSettings(detection_head="tuned")
    trained, double_body = _in_double(_trained(3, variant)), copy.deepcopy(body).double()
    few = clips.map(lambda values: values[:1, :2])
    inputs, _ = prepare_targets(few, body, trained.parts, variant)
    few = _doubled(few)
    _, targets = prepare_targets(few, double_body, trained.parts, variant)
    tuned = [values for values in trained.parameters() if values.requires_grad]
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(values.shape, dtype=torch.float64, generator=generator) for values in tuned]

    def terms() -> dict[str, Tensor]:
        return loss_terms(trained(inputs), few, targets, double_body, PaperTraining().losses, variant).named()

    @torch.no_grad()
    def moved_terms(step: float) -> dict[str, Tensor]:
        for values, direction in zip(tuned, directions, strict=True):
            values.add_(direction, alpha=step)
        return terms()

    analytic = {}
    for name, value in terms().items():
        gradients = torch.autograd.grad(value, tuned, retain_graph=True, allow_unused=True)
        pairs = zip(gradients, directions, strict=True)
        analytic[name] = sum(float((gradient * way).sum()) for gradient, way in pairs if gradient is not None)
    above, below = moved_terms(_STEP), moved_terms(-2 * _STEP)
    numerical = {name: float(above[name] - below[name]) / (2 * _STEP) for name in analytic}

    assert all(analytic.values())
    assert numerical == pytest.approx(analytic, rel=_TOLERANCE)


_STEP = 1e-6
"""Small against the kinks of absolute differences (at 1e-5 one lies in between), large against the rounding of the few
fp32 results on the way."""
_TOLERANCE = 1e-2


def _doubled(record: TensorRecord) -> TensorRecord:
    return record.map(lambda values: values.double() if values.is_floating_point() else values)


def _in_double(trained: TrainedNetwork) -> TrainedNetwork:
    """Compute in double from the tokens on; the frozen encoders before them are constants."""
    trained.double()
    for encoder in (trained.network.image_encoder, trained.network.human_prior.backbone):
        encoder.float()
    for part in (trained.network.image_encoder, trained.network.human_prior):
        part.register_forward_hook(lambda module, arguments, record: _doubled(record))
    return trained
