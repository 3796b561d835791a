"""What else of ``compact`` needs no recurrent state: people are decoded and masked in the half that runs ahead."""

from __future__ import annotations

from dataclasses import replace

import torch

from human3r.models.compact.people.human_prior import MoveNetFeatures, find_people
from human3r.models.compact.people.prompter import KeypointPrompter
from human3r.models.compact.scene.point_head import KeypointMaskHead
from human3r.models.parts import FrameTokens


class PeopleAhead:
    """Fulfils ``parts.LookAhead``. Owns no weights: it calls parts of the network that ``step`` would call.

    Args:
        prompter: Whose thresholds say who is a person.
        mask_head: Its mask needs the picture and the keypoints only.
    """

    def __init__(self, prompter: KeypointPrompter, mask_head: KeypointMaskHead) -> None:
        self._prompter, self._mask_head = prompter, mask_head

    def __call__(self, tokens: FrameTokens) -> FrameTokens:
        """Decode and mask the people of one encoded frame (batch 1)."""
        assert isinstance(tokens.human, MoveNetFeatures)
        people = find_people(tokens.human, tokens.image_size, self._prompter.options)
        with torch.autocast(tokens.image.tokens.device.type, enabled=False):
            mask = self._mask_head.mask_of(tokens.image, tokens.human, people, tokens.image_size)
        return replace(tokens, human=replace(tokens.human, people=people), person_mask=mask)
