"""People and their mask, which in ``compact`` need no recurrent state: computed with the encoding of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from human3r.models.compact.people.human_prior import MoveNetFeatures
from human3r.models.compact.people.keypoints import ImageKeypoints
from human3r.models.compact.people.prompter import KeypointPrompter
from human3r.models.compact.scene.point_head import KeypointMaskHead
from human3r.models.parts import FULL_EFFORT, BatchRecord, Effort, FrameTokens
from human3r.models.precision import without_autocast


class PeopleAhead:
    """A ``parts.LookAhead`` without weights of its own: it calls the parts that ``step`` would call."""

    def __init__(self, prompter: KeypointPrompter, mask_head: KeypointMaskHead) -> None:
        self._prompter, self._mask_head = prompter, mask_head

    def find(
        self,
        human: BatchRecord,
        image_size: tuple[int, int],
        previous: BatchRecord | None = None,
        effort: Effort = FULL_EFFORT,
    ) -> MoveNetFeatures:
        """Decode the people of one frame (batch 1)."""
        assert isinstance(human, MoveNetFeatures)
        before = previous.looks if isinstance(previous, MoveNetFeatures) else None
        people, looks = self._prompter.look(human, image_size, before, effort.second_look_interval)
        return replace(human, people=people, looks=looks)

    def find_together(self, frames: Sequence[BatchRecord], image_size: tuple[int, int]) -> list[BatchRecord]:
        """Decode the people of consecutive frames (batch 1 each); see ``look_at_group``."""
        features = [cast("MoveNetFeatures", human) for human in frames]
        people = self._prompter.look_at_group(features, image_size)
        return [replace(human, people=each) for human, each in zip(features, people, strict=True)]

    def add_mask(self, tokens: FrameTokens) -> FrameTokens:
        """Predict the mask of the people of one encoded frame (batch 1)."""
        assert isinstance(tokens.human, MoveNetFeatures)
        with without_autocast(tokens.image.tokens.device):
            mask = self._mask_head.mask_of(tokens.image, tokens.human, seen_people(tokens), tokens.image_size)
        return replace(tokens, person_mask=mask)


def seen_people(tokens: FrameTokens) -> ImageKeypoints:
    """Return whom ``PeopleAhead`` found in one encoded frame, network pixels."""
    assert isinstance(tokens.human, MoveNetFeatures)
    assert tokens.human.people is not None
    return tokens.human.people
