"""Reads the recorded activations out of a network while it runs, through hooks: the network knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from human3r.geometry.rigid import axis_angle_from_rotation
from human3r.models.config import PaperConfig
from human3r.models.decoder import state_positions
from human3r.models.human3r import Human3R
from human3r.models.layers.rope import grid_positions
from human3r.models.paper.heads import decode_camera, mask_square
from human3r.models.paper.letterbox import letterbox
from human3r.models.paper.prompts import locate_heads, suppress_non_maxima
from human3r.models.parts import FrameTokens, NetworkPrediction, RecurrentState
from tests.parity.replay.released_functions import field_of_view_intrinsics

_POSE_TOKEN, _IMAGE, _DETECTIONS = 1, 0, 2
"""Positional arguments of the decoder."""


@dataclass(frozen=True)
class View:
    """One view that went through the network."""

    image: Tensor
    """``1 3 H W``"""
    tokens: FrameTokens
    before: RecurrentState
    after: RecurrentState
    prediction: NetworkPrediction
    has_reset: bool


class ActivationRecorder:
    """Keeps inputs and outputs of named modules.

    Args:
        network: A paper network.
    """

    def __init__(self, network: Human3R) -> None:
        self._network = network
        self._inputs: dict[str, tuple[object, ...]] = {}
        self._outputs: dict[str, object] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the context is open."""
        modules = {name: module for name, module in self._network.named_modules() if name}
        handles = [module.register_forward_hook(self._keeper(name)) for name, module in modules.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keeper(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def keep(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            self._inputs[name] = inputs
            self._outputs[name] = output

        return keep

    def input(self, name: str, index: int = 0) -> Tensor:
        """Return a positional input of a module."""
        return self._inputs[name][index]  # type: ignore[return-value]

    def output(self, name: str) -> Tensor:
        """Return the output of a module, the first if there are several."""
        output = self._outputs[name]
        return output[0] if isinstance(output, tuple) else output  # type: ignore[return-value]

    def num_blocks(self, name: str) -> int:
        """Return how many blocks a list of modules has."""
        return len(self._network.get_submodule(name))  # type: ignore[arg-type]


def read_activations(recorder: ActivationRecorder, view: View, config: PaperConfig) -> dict[str, Tensor]:
    """Return every activation of a view by its recorded name."""
    return (
        _inputs(view, config)
        | _encoders(recorder, view)
        | _people(recorder, view)
        | _recurrence(recorder, view)
        | _heads(recorder)
        | _outputs(recorder, view, config)
    )


def _inputs(view: View, config: PaperConfig) -> dict[str, Tensor]:
    return {
        "in.img": view.image,
        "in.true_shape": torch.tensor([view.tokens.image_size]),
        "in.reset": torch.tensor([int(view.has_reset)]),
        "in.K_mhmr": field_of_view_intrinsics(config.human_image_size)[None],
        "in.img_mhmr": letterbox(view.image, config.human_image_size),
    }


def _encoders(recorder: ActivationRecorder, view: View) -> dict[str, Tensor]:
    backbone = "human_prior.backbone"
    found = {
        "enc.patch_embed": recorder.output("image_encoder.patch_embedding").flatten(2).transpose(1, 2),
        "enc.pos": grid_positions(*view.tokens.image.grid)[None],
        "enc.feat": view.tokens.image.tokens,
        "mhmr.backbone_input": recorder.input(backbone),
        "mhmr.tokens_with_pos": recorder.input(f"{backbone}.blocks.0"),
        "mhmr.feat": recorder.output(backbone),
        "det.logits": recorder.output("human_prior.score"),
    }
    for stream, blocks in (("enc", "image_encoder.blocks"), ("mhmr", f"{backbone}.blocks")):
        for index in range(recorder.num_blocks(blocks)):
            found[f"{stream}.block{index:02d}"] = recorder.output(f"{blocks}.{index}")
    return found


def _people(recorder: ActivationRecorder, view: View) -> dict[str, Tensor]:
    positions = recorder.input("decoder", _DETECTIONS).positions  # type: ignore[attr-defined]
    return {
        "det.offset": recorder.output("prompter.offset"),
        "prompt.fuse_input": recorder.input("prompter.fuse")[None],
        "prompt.token": recorder.output("prompter.fuse")[None],
        "dec.smpl_pos": positions[None],
    }


def _recurrence(recorder: ActivationRecorder, view: View) -> dict[str, Tensor]:
    decoded = recorder.output("decoder")
    depth, write_blocks = recorder.num_blocks("decoder.image_blocks"), recorder.num_blocks("memory.write_blocks")
    pose_token = recorder.input("decoder", _POSE_TOKEN)
    mean_feature = recorder.input("memory.embed_key")
    found = {
        "state.pos": state_positions(view.before.state_tokens.shape[1])[None],
        "state.in": view.before.state_tokens,
        "state.new": recorder.output("decoder.state_norm"),
        "dec.pose_token_in": pose_token,
        "pose.global_img_feat": mean_feature,
        "pose.mem_in": view.before.memory_slots,
        "pose.mem_new": recorder.output(f"memory.write_blocks.{write_blocks - 1}"),
        "pose.out_token": decoded.pose_token,  # type: ignore[attr-defined]
    }
    for index in range(depth):
        is_last = index == depth - 1
        name = "decoder.image_norm" if is_last else f"decoder.image_blocks.{index}"
        found[f"dec.layer{index + 1:02d}"] = recorder.output(name)
    if view.before.has_history:
        found |= {"pose.inquire_query": mean_feature, "pose.inquired_token": pose_token}
    gate_logits = decoded.gate_logits  # type: ignore[attr-defined]
    return found if gate_logits is None else found | {"ttt3r.attn_mean": gate_logits}


def _heads(recorder: ActivationRecorder) -> dict[str, Tensor]:
    found = {
        "head.pose_raw": recorder.output("camera_head.mlp"),
        "head.smpl_token_cat": recorder.input("person_head.rotations")[None],
        "head.dpt_self_raw": recorder.output("point_head.dpt"),
        "head.dpt_cross_raw": recorder.output("extra_head.points"),
        "head.dpt_rgb_raw": recorder.output("extra_head.colours"),
        "msk.logits": recorder.output("mask_head.mlp"),
    }
    regressors = {"decpose": "rotations", "decshape": "betas", "decexpression": "expression", "deccam": "translation"}
    for released, ours in regressors.items():
        found[f"head.{released}_raw"] = recorder.output(f"person_head.{ours}")[None]
    for index in range(recorder.num_blocks("extra_head.blocks")):
        found[f"head.final_transform{index}"] = recorder.output(f"extra_head.blocks.{index}")
    return found


def _outputs(recorder: ActivationRecorder, view: View, config: PaperConfig) -> dict[str, Tensor]:
    prediction, extras = view.prediction, view.prediction.extras
    assert extras is not None
    score = suppress_non_maxima(view.tokens.human.score)  # type: ignore[attr-defined]
    cells = (score[0, 0] >= config.detection_threshold).nonzero()
    located = locate_heads(cells, recorder.output("prompter.offset"), config.human_patch_size)
    return {
        "out.pts3d_in_self_view": prediction.pointmap_camera[None],
        "out.conf_self": prediction.confidence[None],
        "out.pts3d_in_other_view": extras.pointmap_segment[None],
        "out.conf": extras.confidence_segment[None],
        "out.rgb": extras.rgb[None],
        "out.camera_pose": torch.cat(decode_camera(recorder.output("camera_head.mlp")), dim=-1),
        "out.msk": mask_square(recorder.output("mask_head.mlp"), config.human_patch_size)[..., None],
        "out.smpl_scores": score.permute(0, 2, 3, 1),
        "out.smpl_loc": located[None],
        "out.smpl_shape": prediction.betas[None],
        "out.smpl_expression": prediction.expression[None],
        "out.smpl_rotmat": prediction.joint_rotations[None],
        "out.smpl_rotvec": axis_angle_from_rotation(prediction.joint_rotations)[None],
        "out.smpl_transl": prediction.head_camera[None],
    }
