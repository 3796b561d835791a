"""A time budget per frame for streams that do not wait: what is left out while a machine is late."""

from __future__ import annotations

import math
from dataclasses import dataclass

from human3r.models.parts import FULL_EFFORT, Effort

SCENE_INTERVAL_S = 0.5
"""Time between two updates of the scene while they are thinned out."""
_SECOND_LOOK_INTERVAL = 4


@dataclass(frozen=True)
class BudgetOptions:
    """How a budget judges and reacts."""

    frame_s: float = 0.08
    """Time that the slowest stage of a frame may take, seconds: 12 frames per second."""
    average_s: float = 1.0
    """Time constant of the average, seconds."""
    settle_s: float = 1.5
    """Time between two changes of the level, seconds: a change must show in the average first."""
    margin: float = 0.7
    """The level falls when the average is below this share of the budget."""


LEVELS = ("everything", "the scene twice a second", "second looks at still people every fourth frame")
"""What is done at each level; a level leaves out all that the ones before it do."""


class Budget:
    """Decides from measured times how much effort the next frame gets.

    What is left out, in this order: most updates of the scene; most second looks at people who hardly moved. The
    recurrence is never left out.

    Args:
        options: Limits and time constants.
    """

    def __init__(self, options: BudgetOptions | None = None) -> None:
        self.options = options or BudgetOptions()
        self.average_s: float | None = None
        """Exponential average of the time of the slowest stage."""
        self.level = 0
        """0 leaves out nothing; see ``LEVELS``."""
        self._changed_s = -math.inf
        self._last_s = -math.inf
        self._scene_s = -math.inf

    def add(self, frame_s: float, now_s: float) -> None:
        """Take the time of the slowest stage of a frame that was done at ``now_s``."""
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
            # What came before the change says nothing about its effect.
            self.level, self._changed_s, self.average_s = level, now_s, None

    @property
    def effort(self) -> Effort:
        """What encoding the next frame may cost."""
        return FULL_EFFORT if self.level < 2 else Effort(second_look_interval=_SECOND_LOOK_INTERVAL)

    def takes_scene(self, time_s: float) -> bool:
        """Return whether a frame at ``time_s`` updates the scene; asked once per frame."""
        is_due = self.level < 1 or not 0 <= time_s - self._scene_s < SCENE_INTERVAL_S
        if is_due:
            self._scene_s = time_s
        return is_due
