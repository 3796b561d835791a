"""``LoadedModel``: a network that is ready to run, with everything a session needs to know about it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from human3r.bodies import SmplxBody
from human3r.inference.loading.precision import ComputePolicy
from human3r.inference.loading.profile import ModelProfile
from human3r.models.config import ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.precision import Precision


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready to run, and what it was made from. Shared by any number of sessions."""

    network: Human3R
    body: SmplxBody
    """Body model of the people; on the CPU."""
    config: ModelConfig
    name: str
    sha256: str
    """Of the weights: two models with the same value give the same numbers."""
    policy: ComputePolicy
    profile: ModelProfile
    people_buckets: tuple[int, ...] = ()
    """Sizes, ascending, that the person axis is padded to, so that compiled code sees few shapes; more people than the
    largest, or no buckets, run without padding."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.policy.device

    @property
    def precision(self) -> Precision:
        """Arithmetic of the network, see ``human3r.models.precision``."""
        return self.policy.precision
