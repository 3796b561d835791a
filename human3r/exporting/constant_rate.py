"""Rows at a constant integer rate, for the formats without time stamps: BVH and AMASS.

Row 0 is the first processed frame for every person. Rows before a person's first observation hold the
first pose, the last row is the first at or after the last observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from human3r.errors import InputError

_SUSTAINED_S = 0.5
"""The rate of a file is the highest one that the clip sustains for this long."""
_STAMP_S = 1.01e-3
"""Rounding error of an interval between time stamps in whole milliseconds, as in Matroska."""
_MAX_REFINEMENT = 3
"""Factor by which a rate is raised at most to have a row at every frame."""
_MAX_ROWS, _MAX_ROWS_PER_FRAME = 100_000, 10
"""Limit on rows: two frames a year apart must not give a file of a year."""


@dataclass(frozen=True)
class ConstantRate:
    """The n rows of one person's file, from m observations."""

    rate: int
    """Rows per second."""
    is_native: bool
    """The rows are the processed frames: poses are copied, and held where the person was not seen."""
    seen_s: np.ndarray
    """``m`` times of the observations from the first processed frame, ascending."""
    rows_s: np.ndarray
    """``n`` times of the rows from the first processed frame, less than a row beyond the last observation."""
    latest: np.ndarray
    """``n`` int64, the last of the m observations at or before each row; 0 before the first."""
    frames: np.ndarray
    """``n`` int64, the processed frame nearest to each row."""
    observed: np.ndarray
    """``n`` bool, whether the nearest frame is an observation."""

    def linear(self, values: np.ndarray) -> np.ndarray:
        """Interpolate ``m ...`` values linearly at the rows: ``n ...``."""
        if self.is_native or len(values) == 1:
            return values[self.latest]
        following = np.minimum(self.latest + 1, len(values) - 1)
        step_s = np.maximum(self.seen_s[following] - self.seen_s[self.latest], 1e-9)
        part = np.clip((self.rows_s - self.seen_s[self.latest]) / step_s, 0.0, 1.0)
        part = part.reshape(-1, *[1] * (values.ndim - 1))
        return ((1 - part) * values[self.latest] + part * values[following]).astype(values.dtype)

    def rotation_vectors(self, values: np.ndarray) -> np.ndarray:
        """Interpolate ``m J 3`` axis-angle rotations at the rows along the shortest arcs: ``n J 3``."""
        from scipy.spatial.transform import Rotation, Slerp

        if self.is_native or len(values) == 1:
            return values[self.latest]
        within_s = np.clip(self.rows_s, self.seen_s[0], self.seen_s[-1])
        paths = [Slerp(self.seen_s, Rotation.from_rotvec(joint)) for joint in values.swapaxes(0, 1)]
        return np.stack([path(within_s).as_rotvec() for path in paths], axis=1).astype(values.dtype)


def constant_rate(time_s: np.ndarray, fps: float, seen: np.ndarray) -> ConstantRate:
    """Lay out the rows of a person seen in the processed frames ``seen``; ``fps`` is the rate of a clip of one frame.

    Raises:
        InputError: The clip's times require far more rows than it has frames.
    """
    time_s = time_s - time_s[0]
    rate = _whole_rate(time_s, fps)
    slots = np.rint(time_s * rate).astype(np.int64)
    is_native = bool((slots == np.arange(len(slots))).all() and np.abs(time_s - slots / rate).max() <= _STAMP_S)
    seen_s = slots[seen] / rate if is_native else time_s[seen]
    num_rows = int(np.ceil(seen_s[-1] * rate - 1e-6)) + 1
    limit = _MAX_ROWS + _MAX_ROWS_PER_FRAME * len(time_s)
    if num_rows > limit:
        message = f"{seen_s[-1]:.0f} s at {rate} rows per second are {num_rows} rows; the limit is {limit}."
        raise InputError(message, "Reconstruct a part of the clip.")
    rows = np.arange(num_rows)
    latest = np.maximum(np.searchsorted(seen_s, rows / rate + 1e-6, side="right") - 1, 0)
    frames = np.searchsorted((time_s[1:] + time_s[:-1]) / 2, rows / rate)
    return ConstantRate(rate, is_native, seen_s, rows / rate, latest, frames, np.isin(rows, slots[seen]))


def _whole_rate(time_s: np.ndarray, fps: float) -> int:
    """Return the nearest integer rate from 25 fps up; below, one that is at most 2 % lower, to keep every frame."""
    ends = np.searchsorted(time_s, time_s + _SUSTAINED_S - _STAMP_S)
    starts = np.flatnonzero(ends < len(time_s))
    ends = ends[starts]
    if len(starts):
        fps = float(((ends - starts) / (time_s[ends] - time_s[starts])).max())
    elif time_s[-1] > 0:
        fps = (len(time_s) - 1) / float(time_s[-1])
    rate = max(1, int(np.ceil(fps - min(0.5, 0.02 * fps))))
    # Frames chosen from a clip of a whole rate, such as 10 per second of 24, lie on that rate's clock.
    finer = range(rate, _MAX_REFINEMENT * rate + 1)
    return next((each for each in finer if np.abs(time_s - np.rint(time_s * each) / each).max() <= _STAMP_S), rate)
