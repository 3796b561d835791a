"""A time budget per frame of live streams: work that is skipped while the machine is late."""

from __future__ import annotations

import math
from dataclasses import dataclass

from human3r.models.parts import FULL_EFFORT, Effort

THINNED_INTERVAL_S = 0.5
"""Time between two updates of the scene, or two examinations of hands, at reduced rate."""
_SECOND_LOOK_INTERVAL = 4


LEVELS = (
    "everything",
    "second looks at still people every fourth frame",
    "second looks at one moving person a frame",
    "the scene twice a second",
    "no new surface",
    "hands twice a second",
)
"""What each level skips, in addition to those before it. The first two save the most."""
_SECOND_LOOKS, _ONE_LOOK, _SCENE, _SURFACE, _HANDS = range(1, len(LEVELS))


@dataclass(frozen=True)
class BudgetOptions:
    """Parameters of a budget."""

    frame_s: float = 0.08
    """Time that the slowest stage of a frame may take, seconds: 12 frames per second."""
    average_s: float = 0.7
    """Time constant of the average, seconds."""
    settle_s: float = 1.0
    """Time between two changes of the level, seconds, so that the average reflects the first."""
    margin: float = 0.7
    """The level falls when the average is below this share of the budget."""
    first_level: int = _SURFACE
    """Level at the start: people are shown first, the rest when there is time."""


class Budget:
    """Decides the effort for the next frame from measured times.

    Skipped, in this order: most second looks at people who hardly moved, all but one of the others in a frame, most
    updates of the scene, the growth of its surface, most looks at hands. The recurrence is never skipped.

    Args:
        options: Limits and time constants.
    """

    def __init__(self, options: BudgetOptions | None = None) -> None:
        self.options = options or BudgetOptions()
        self.average_s: float | None = None
        """Exponential average of the time of the slowest stage."""
        self.level = self.options.first_level
        """0 skips nothing; see ``LEVELS``."""
        self._changed_s = -math.inf
        self._last_s = -math.inf
        self._scene, self._hands = _Thinned(), _Thinned()

    def add(self, frame_s: float, now_s: float) -> None:
        """Record the time of the slowest stage of a frame finished at ``now_s``."""
        elapsed_s = max(frame_s, min(now_s - self._last_s, self.options.average_s))
        weight = 1 - math.exp(-elapsed_s / self.options.average_s)
        self.average_s = frame_s if self.average_s is None else self.average_s + weight * (frame_s - self.average_s)
        self._last_s = now_s
        if now_s - self._changed_s < self.options.settle_s:
            return
        limit_s = self.options.frame_s
        change = int(self.average_s > limit_s) - int(self.average_s < self.options.margin * limit_s)
        level = min(max(self.level + change, 0), len(LEVELS) - 1)
        if level != self.level:
            # Times before the change do not reflect its effect.
            self.level, self._changed_s, self.average_s = level, now_s, None

    @property
    def effort(self) -> Effort:
        """What detecting people in the next frame may cost."""
        if self.level < _SECOND_LOOKS:
            return FULL_EFFORT
        return Effort(_SECOND_LOOK_INTERVAL, None if self.level < _ONE_LOOK else 1)

    @property
    def takes_surface(self) -> bool:
        """Whether the surface may grow."""
        return self.level < _SURFACE

    def takes_scene(self, time_s: float) -> bool:
        """Return whether a frame at ``time_s`` updates the scene; asked once per frame."""
        return self._scene.takes(time_s, is_thinned=self.level >= _SCENE)

    def takes_hands(self, time_s: float) -> bool:
        """Return whether hands may be examined in a frame at ``time_s``; asked once per frame."""
        return self._hands.takes(time_s, is_thinned=self.level >= _HANDS)


class _Thinned:
    """Work that is done in every frame, or at a reduced rate."""

    def __init__(self) -> None:
        self._last_s = -math.inf

    def takes(self, time_s: float, *, is_thinned: bool) -> bool:
        """Return whether it is done at ``time_s``."""
        is_due = not is_thinned or not 0 <= time_s - self._last_s < THINNED_INTERVAL_S
        if is_due:
            self._last_s = time_s
        return is_due
