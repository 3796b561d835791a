"""People and their mask, which in ``compact`` need no recurrent state: computed with the encoding of a frame.

Of consecutive frames under a standing camera, those between two whose people moved little are not encoded at all: their
people are interpolated, or looked at in crops. See ``sparse_looks``. Where they moved more, only the people detector
runs. Where frames come one at a time, it runs in each, and the rest in some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from human3r.models.compact.image_encoder import CompactImageEncoder, gray_of
from human3r.models.compact.people.detection.human_prior import MoveNetFeatures, MoveNetPrior, find_people
from human3r.models.compact.people.detection.keypoints import ImageKeypoints, has_own_torso
from human3r.models.compact.people.detection.ownership import without_foreign_keypoints
from human3r.models.compact.people.detection.second_look import Looks
from human3r.models.compact.people.detection.sparse_looks import (
    interpolated,
    look_between,
    matching_rows,
    same_people,
)
from human3r.models.compact.people.prompter import (
    KeypointDetections,
    KeypointPrompter,
    head_position_px,
    identity_features,
    moved_to,
)
from human3r.models.compact.scene.point_head import KeypointMaskHead
from human3r.models.compact.scene.rest import MIN_RESTING, count_resting, shrunk, stands
from human3r.models.parts import FULL_EFFORT, BatchRecord, Effort, FrameTokens, ImageFeatures, InferredFrame
from human3r.models.precision import without_autocast


class PeopleAhead:
    """A ``signatures.LookAhead`` without weights of its own: it calls the parts of the network."""

    def __init__(
        self,
        image_encoder: CompactImageEncoder,
        human_prior: MoveNetPrior,
        prompter: KeypointPrompter,
        mask_head: KeypointMaskHead,
    ) -> None:
        self._image_encoder, self._human_prior = image_encoder, human_prior
        self.prompter, self._mask_head = prompter, mask_head

    def detect(
        self, image: Tensor, previous: BatchRecord | None = None, effort: Effort = FULL_EFFORT
    ) -> MoveNetFeatures:
        """Find the people of a ``1 3 H W`` frame."""
        human, before = self._human_prior(image, previous), None
        if isinstance(previous, MoveNetFeatures):
            before = previous.looks
        people, looks = self.prompter.look(human, (image.shape[-2], image.shape[-1]), before, effort)
        return replace(human, people=people, looks=looks)

    def add_mask(self, tokens: FrameTokens) -> FrameTokens:
        """Predict the mask of the people of one encoded frame (batch 1)."""
        assert isinstance(tokens.human, MoveNetFeatures)
        with without_autocast(tokens.image.tokens.device):
            mask = self._mask_head.mask_of(tokens.image, tokens.human, seen_people(tokens), tokens.image_size)
        return replace(tokens, person_mask=mask)

    def encode_between(self, before: FrameTokens, images: Tensor, last: FrameTokens) -> list[FrameTokens]:
        """Encode ``B 3 H W`` consecutive frames between two, as far as needed; return all after ``before``."""
        return _Between(self, before, last, images).finished()

    def encode_after(self, before: FrameTokens, image: Tensor, human: BatchRecord) -> FrameTokens | None:
        """Return a frame ``1 3 H W`` of a standing camera from an encoded one, or None: ``signatures.LookAhead``."""
        assert isinstance(human, MoveNetFeatures)
        people, then, mask = human.people, _human(before).people, before.person_mask
        assert people is not None
        assert then is not None
        assert mask is not None
        rows, gray = matching_rows(people, then), gray_of(image)
        if bool((rows < 0).any()) or not stands(shrunk(gray), shrunk(before.image.pyramid[0]), mask):
            return None
        features = identity_features(then, before.image, before.image_size)[rows]
        return _tokens_of(image, gray, _detections(people, features), before.image.grid, mask, human)

    def search(self, image: Tensor, before: BatchRecord) -> MoveNetFeatures:
        """Detect the people of a ``1 3 H W`` frame after another one, without looking for them in the features."""
        return self._human_prior(image, before)

    def encode_found(self, image: Tensor, human: MoveNetFeatures) -> FrameTokens:
        """Encode a ``1 3 H W`` frame after ``search``."""
        return FrameTokens(self._image_encoder(image), human, (image.shape[-2], image.shape[-1]))

    def encode(self, images: Tensor, before: BatchRecord) -> list[FrameTokens]:
        """Encode ``B 3 H W`` frames after another one, without looking for people in the features."""
        size = (images.shape[-2], images.shape[-1])
        batch = FrameTokens(self._image_encoder(images), self._human_prior(images, before), size)
        return [batch.select(index) for index in range(len(images))]


class _Between:
    """The frames between two whole ones, by their index: 0 is the first of these two, the last is the other."""

    def __init__(self, ahead: PeopleAhead, start: FrameTokens, end: FrameTokens, images: Tensor) -> None:
        self._ahead, self._images, self._last = ahead, images, len(images) + 1
        self._whole = {0: start, self._last: end}
        self._first = {index: _looks(tokens).first for index, tokens in self._whole.items()}
        self._ends: dict[int, tuple[int, int, Tensor]] = {}
        """Of an inferred frame: the frames around it, and the rows in the second of the people in the first."""
        self._searched: dict[int, tuple[MoveNetFeatures, Tensor]] = {}
        """Of a frame in which only people were detected: these, and their rows in the first whole frame."""
        self._features: dict[int, Tensor] = {}
        """Of the people in frames that are not inferred, see ``identity_features``."""
        self._grays = [gray_of(images[index : index + 1]) for index in range(len(images))]
        assert start.person_mask is not None
        assert end.person_mask is not None
        self._mask = torch.maximum(start.person_mask, end.person_mask)

    def finished(self) -> list[FrameTokens]:
        """Return the tokens of all frames after the first."""
        is_still = self._is_still()
        resting = _human(self._whole[0]).resting
        if is_still and resting >= MIN_RESTING:
            self._settle(0, self._last)
        else:
            self._encode()
        start, end = self._whole[0], self._whole[self._last]
        first = [self._first[index] for index in range(self._last + 1)]
        ends = (_looks(start).second, _looks(end).second)
        found = look_between(self._ahead.prompter.crop_detector, list(self._images), first, ends)
        people = [ends[0], *found, ends[1]]
        tokens = [self._tokens(index, people) for index in range(1, self._last)]
        resting = count_resting(resting, self._last, is_still=is_still)
        return [*tokens, replace(end, human=replace(_human(end), resting=resting))]

    def _is_still(self) -> bool:
        start, end = (shrunk(self._whole[index].image.pyramid[0]) for index in (0, self._last))
        return all(stands(gray, start, self._mask) for gray in (end, *map(shrunk, self._grays)))

    def _settle(self, start: int, end: int) -> None:
        """Infer the frames between two if both show the same people, else search the middle one, recursively."""
        if end - start < 2:
            return
        rows = same_people(self._first[start], self._first[end])
        if rows is None:
            middle = (start + end) // 2
            self._search(middle)
            self._settle(start, middle)
            self._settle(middle, end)
            return
        later = self._first[end].select(rows)
        for index in range(start + 1, end):
            self._ends[index] = (start, end, rows)
            self._first[index] = interpolated(self._first[start], later, (index - start) / (end - start))

    def _encode(self) -> None:
        """Encode all of the frames."""
        if self._last == 1:
            return
        for index, tokens in enumerate(self._ahead.encode(self._images, self._whole[0].human), start=1):
            self._whole[index] = tokens
            self._first[index] = find_people(_human(tokens), tokens.image_size, self._ahead.prompter.options)

    def _search(self, index: int) -> None:
        """Look for the people of one frame; encode it if some of them were not there before."""
        start, image = self._whole[0], self._images[index - 1 : index]
        human = self._ahead.search(image, start.human)
        people = find_people(human, start.image_size, self._ahead.prompter.options)
        rows = matching_rows(people, self._first[0])
        self._first[index] = people
        if bool((rows >= 0).all()):
            self._searched[index] = human, rows
        else:
            self._whole[index] = self._ahead.encode_found(image, human)

    def _tokens(self, index: int, people: Sequence[ImageKeypoints]) -> FrameTokens:
        if index in self._ends:
            return self._inferred(index, people)
        kept = has_own_torso(people[index], self._ahead.prompter.options)
        own = without_foreign_keypoints(people[index].select(kept))
        if index in self._whole:
            tokens = self._whole[index]
            return self._ahead.add_mask(replace(tokens, human=replace(_human(tokens), people=own)))
        found = _detections(own, self._features_of(index, people)[kept])
        human = replace(self._searched[index][0], people=own)
        image, gray = self._images[index - 1 : index], self._grays[index - 1]
        return _tokens_of(image, gray, found, self._whole[0].image.grid, self._mask, human)

    def _features_of(self, index: int, people: Sequence[ImageKeypoints]) -> Tensor:
        if index not in self._features:
            size = self._whole[0].image_size
            if index in self._whole:
                features = identity_features(people[index], self._whole[index].image, size)
            else:
                features = moved_to(people[index], self._features_of(0, people)[self._searched[index][1]], size)
            self._features[index] = features
        return self._features[index]

    def _inferred(self, index: int, people: Sequence[ImageKeypoints]) -> FrameTokens:
        """Return a frame that is not encoded, with its people."""
        start, end, rows = self._ends[index]
        before, after = (self._features_of(end, people) for end in (start, end))
        features = torch.lerp(before, after[rows], (index - start) / (end - start))
        image, gray = self._images[index - 1 : index], self._grays[index - 1]
        found = without_foreign_keypoints(people[index])
        return _tokens_of(image, gray, _detections(found, features), self._whole[0].image.grid, self._mask, None)


def _detections(people: ImageKeypoints, features: Tensor) -> KeypointDetections:
    """Return people with the ``P F`` features of another frame, without prompts."""
    head = head_position_px(people)
    return KeypointDetections(
        score=people.score,
        head_uv_px=head,
        human_features=features[:, :0],
        prompts=features[:, :0],
        positions=head.new_zeros(head.shape, dtype=torch.int64),
        track_features=features,
        keypoints=people,
    )


def _tokens_of(
    image: Tensor,
    gray: Tensor,
    detections: KeypointDetections,
    grid: tuple[int, int],
    person_mask: Tensor,
    human: MoveNetFeatures | None,
) -> FrameTokens:
    """Return a ``1 3 H W`` frame that is not encoded."""
    features = ImageFeatures(image.new_zeros(1, 0, 0), grid, (gray,))
    size = (image.shape[-2], image.shape[-1])
    return FrameTokens(features, InferredFrame(image, detections, human), size, person_mask)


def seen_people(tokens: FrameTokens) -> ImageKeypoints:
    """Return whom ``PeopleAhead`` found in one frame, network pixels."""
    if isinstance(tokens.human, InferredFrame):
        assert isinstance(tokens.human.detections, KeypointDetections)
        people = tokens.human.detections.keypoints
    else:
        people = _human(tokens).people
    assert people is not None
    return people


def _human(tokens: FrameTokens) -> MoveNetFeatures:
    assert isinstance(tokens.human, MoveNetFeatures)
    return tokens.human


def _looks(tokens: FrameTokens) -> Looks:
    looks = _human(tokens).looks
    assert looks is not None
    return looks
