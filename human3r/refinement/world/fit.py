"""One estimate for people, scene and floor of a shot: a robust Gauss-Newton over a dozen unknowns.

Unknown are the scale of the scene about the first camera (and of the camera's path), a smooth bend of its depth, the
floor's tilt and height, and the size of each identity, which moves it along its rays. None of them changes an image.
Evidence is the network's depth, the sizes of people, which are constant per identity, the contact of standing feet with
the scene below, a common plane of them, and that ground is level and carries them; each has a standard deviation and
can be left out.
NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from human3r.refinement.world.evidence import ShotEvidence, thinned
from human3r.refinement.world.standing import FLOOR_RADIUS_M, SurfaceBelow, surface_below
from human3r.refinement.world.unknowns import BENDS, GROUND, HEIGHT, SIZES, TILT, WorldUnknowns

WITNESSES = ("depth", "bend", "tilt", "size", "contact", "plane", "level")

_SCALE_SIGMA = 0.3
"""Of the logarithm of the scene's scale: wider than that of people, so that the scene moves, not they."""
_BEND_SIGMA = np.array([0.05, 0.03, 0.02, 0.25, 0.12, 0.06])
"""Of the bend's coefficients: log depth per half image, vertical, horizontal, and vertical squared, two waves along the
depth, and horizontal squared per half of the long side. Twice as much makes depth worse."""
_TILT_SIGMA = np.deg2rad([5.0, 2.5])
"""Of the floor's normal along the view, and sideways."""
_HEIGHT_SIGMA_M = 3.0
_SIZE_SIGMA = 0.06
"""Logarithmic error of an adult's size. Source: adults, 9 cm of 1.7 m, and the lifter's error."""
_CHILD, _CHILD_SIGMA, _CHILD_SHARE = -0.4, 0.13, 0.12
"""Logarithmic correction of the size of a child that was taken for an adult, its spread, and the share of children."""
_GAP_SIGMA_M, _PLANE_SIGMA_M = 0.08, 0.1
_FAR_SIGMA = 0.006
"""Errors of a sole's height grow by this share of its distance."""
_CONTACT_WEIGHT, _PLANE_WEIGHT = 0.33, 0.5
"""Of one sole. The surface that a person walks on is too high or too low in every frame alike: with a weight of 1 a
wrong floor turns people into giants instead of moving."""
_FLAT = np.array([1.0, FLOOR_RADIUS_M / _GAP_SIGMA_M, 1.0])
"""What is near a place on a surface, y-up: factors on the axes."""
_KNEE = 2.0
"""Standard deviations at which a gap costs half of what it may cost at most: wrong associations do not pull."""
_NO_FLOOR = 3.0
"""Cost of a foot without a floor below, as that of a squared gap: nearly the most, so that leaving a floor that is too
high or too low for one behind everything is no way out."""
_LEVEL_WEIGHT, _ENOUGH_GROUND = 60.0, 200
"""Of all level ground, where one sole counts up to one, and cells below which it counts less: two square meters."""
_ON_GROUND_WEIGHT, _ON_GROUND_SIGMA_M = 0.1, 0.15
"""Of one sole that stands on the common level ground: all that is known where the floor below it is in no frame."""
_MIN_OBSERVATIONS = 3
_FURNITURE_WEIGHT = 0.1
"""Of the gap to furniture."""
_CHILD_MARGIN = 4.0
"""Twice the log likelihood ratio required for a child, since a small adult is the worse error."""
_MIN_FOR_CHILD = 3
"""Fewest people: of two at different heights, one on a roof, a common floor would make the other a child."""
_GRID = np.linspace(-0.35, 0.35, 8)
"""Logarithms of the scale at which the search starts: the start of lowest cost often does not lead to the lowest."""
_NUM_STEPS, _NUM_HALVINGS = 10, 3
_MAX_STEP = 0.15
_SAME = 0.03
"""Of all unknowns, up to which two descents lead to the same minimum."""


@dataclass(frozen=True)
class WorldFit:
    """The estimate."""

    log_scale: float
    """Logarithm of the factor on scene and camera path, about the shot's first camera."""
    bend: np.ndarray
    """``6`` coefficients of ``bend_basis``, log depth."""
    up: np.ndarray
    """``3`` unit normal of the floor."""
    height: float
    """Of the floor along ``up``, from the shot's first camera."""
    log_size: np.ndarray
    """``P`` logarithms of the factors on size and distance of each identity."""
    log_scale_sigma: float = _SCALE_SIGMA
    """Standard deviation of ``log_scale``."""
    height_sigma: float = _HEIGHT_SIGMA_M
    log_size_sigma: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """``P``"""
    witnesses: tuple[str, ...] = ()
    """The evidence that was available, of ``WITNESSES``."""


def fit_world(evidence: ShotEvidence, witnesses: tuple[str, ...] = WITNESSES) -> WorldFit | None:
    """Fit scale, floor and sizes of a shot; None with fewer than three usable soles.

    Args:
        evidence: Of the shot.
        witnesses: Evidence to use; ``bend`` and ``tilt`` are unknowns, which are zero if left out.
    """
    if len(evidence.soles) < _MIN_OBSERVATIONS or evidence.weight.sum() <= 0:
        return None
    evidence = thinned(evidence)
    problem = _Problem(evidence, witnesses)
    scales = _GRID if problem.is_heard("contact") else [0.0]
    best = min((problem.descend(problem.start(scale)) for scale in scales), key=problem.cost)
    children = np.zeros(evidence.num_identities, dtype=bool)
    seen = np.unique(evidence.identity)
    # Feet outside of the image are guesses.
    for one in np.unique(evidence.identity[evidence.is_seen]) if len(seen) >= _MIN_FOR_CHILD else ():
        trial = _Problem(evidence, witnesses, children | (np.arange(len(children)) == one))
        start = best.copy()
        start[SIZES:][one] = _CHILD
        found = trial.descend(start)
        if trial.cost(found) + _CHILD_MARGIN < problem.cost(best):
            best, problem, children = found, trial, trial.children
    return problem.result(best)


class _Problem:
    """Costs and equations of a shot.

    Args:
        evidence: Of the shot.
        witnesses: Evidence to use.
        children: ``P`` bool, people modeled as children; None: no one.
    """

    def __init__(self, evidence: ShotEvidence, witnesses: tuple[str, ...], children: np.ndarray | None = None) -> None:
        self._evidence, self._witnesses, self._world = evidence, witnesses, WorldUnknowns(evidence)
        count = evidence.num_identities
        self.children = np.zeros(count, dtype=bool) if children is None else children
        self._mean = np.zeros(SIZES + count)
        self._mean[SIZES:][self.children] = _CHILD
        size = np.where(self.children, _CHILD_SIGMA, _SIZE_SIGMA)
        scale = _SCALE_SIGMA if self.is_heard("depth") else 3.0
        sizes = size if self.is_heard("size") else 3.0 + 0 * size
        heights = [_HEIGHT_SIGMA_M, _HEIGHT_SIGMA_M]
        self._sigma = np.concatenate([[scale], _BEND_SIGMA, _TILT_SIGMA, heights, sizes])
        for name, part in (("bend", BENDS), ("tilt", TILT)):
            if not self.is_heard(name):
                self._sigma[part] = 1e-6
        self._prior = (-2 * np.log(np.where(self.children, _CHILD_SHARE, 1 - _CHILD_SHARE) / size)).sum()
        self._noise = _FAR_SIGMA * np.linalg.norm(evidence.soles, axis=1)
        self._has_ground = self.is_heard("level") and len(evidence.ground) > 0
        self._ground_weight = _LEVEL_WEIGHT / max(len(evidence.ground), _ENOUGH_GROUND)
        self._on_ground_weight = _ON_GROUND_WEIGHT * min(1.0, len(evidence.ground) / _ENOUGH_GROUND)
        self._costs: dict[bytes, float] = {}
        self._visited: list[np.ndarray] = []
        self._last_below: tuple[bytes, tuple[SurfaceBelow, np.ndarray, np.ndarray]] | None = None

    def is_heard(self, witness: str) -> bool:
        return witness in self._witnesses

    def start(self, log_scale: float) -> np.ndarray:
        return self._world.start(self._mean, log_scale)

    def _below(self, x: np.ndarray) -> tuple[SurfaceBelow, np.ndarray, np.ndarray]:
        """Return the scene under the soles, and both y-up: soles and points."""
        # A step asks for the cost of a place first, then for its equations.
        if self._last_below is None or self._last_below[0] != x.tobytes():
            axes = self._evidence.tilt_axes
            R = np.stack([axes[1], self._world.up(x), axes[0]])
            soles, points = self._world.soles(x) @ R.T, np.exp(x[0]) * self._world.points(x) @ R.T
            self._last_below = x.tobytes(), (surface_below(points, soles), soles, points)
        return self._last_below[1]

    def _ground_off(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the heights of level ground over its common one, before the scene is scaled, and their deviations."""
        # Scaled heights would be most alike in the smallest scene.
        evidence = self._evidence
        off = self._world.points(x, evidence.ground) @ self._world.up(x) - x[GROUND]
        return off, evidence.ground_sigma

    def _on_ground_off(self, x: np.ndarray, soles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the heights of soles, y-up, over the common level ground, and their deviations."""
        return soles[:, 1] - np.exp(x[0]) * x[GROUND], _ON_GROUND_SIGMA_M + self._noise

    def cost(self, x: np.ndarray) -> float:
        """Return twice the negative log posterior, after associating feet with the scene."""
        if x.tobytes() not in self._costs:
            self._costs[x.tobytes()] = self._cost(x)
        return self._costs[x.tobytes()]

    def _cost(self, x: np.ndarray) -> float:
        below, soles, _ = self._below(x)
        total = (((x - self._mean) / self._sigma) ** 2).sum() + self._prior
        if self.is_heard("contact"):
            gap = np.nan_to_num(soles[:, 1] - below.height)
            cost = _bounded(gap / (_GAP_SIGMA_M + self._noise))
            cost = np.where(below.is_floor, cost, _NO_FLOOR + _FURNITURE_WEIGHT * cost)
            total += _CONTACT_WEIGHT * (self._evidence.weight * cost).sum()
        if self.is_heard("plane"):
            off = (soles[:, 1] - x[HEIGHT]) / (_PLANE_SIGMA_M + self._noise)
            total += _PLANE_WEIGHT * (self._evidence.weight * _bounded(off)).sum()
        if self._has_ground:
            off, sigma = self._ground_off(x)
            total += self._ground_weight * _bounded(off / sigma).sum()
            off, sigma = self._on_ground_off(x, soles)
            total += self._on_ground_weight * (self._evidence.weight * _bounded(off / sigma)).sum()
        return float(total)

    def descend(self, x: np.ndarray) -> np.ndarray:
        """Gauss-Newton from ``x``, every step lowers the cost; ends where an earlier descent has been."""
        cost, path = self.cost(x), [x]
        for _ in range(_NUM_STEPS):
            hessian, gradient = self._equations(x)
            step = -np.linalg.solve(hessian, gradient)
            step *= min(1.0, _MAX_STEP / np.abs(step[np.r_[:HEIGHT, SIZES : len(x)]]).max())
            for _ in range(_NUM_HALVINGS):
                lower = self.cost(x + step)
                if lower < cost:
                    break
                step = step / 2
            else:
                break
            x, gain, cost = x + step, cost - lower, lower
            path.append(x)
            if gain < 1e-3 or any(np.abs(x - other).max() < _SAME for other in self._visited):
                break
        self._visited += path
        return x

    def _equations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Hessian and gradient with the current association of feet, reweighted for the bounded loss."""
        hessian = np.diag(self._sigma**-2)
        gradient = (x - self._mean) / self._sigma**2
        for jacobian, off, weight in self._linearized(x):
            hessian += (jacobian.T * weight) @ jacobian
            gradient += (jacobian.T * weight) @ off
        return hessian, gradient

    def _linearized(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield ``m U`` derivatives, ``m`` residuals in meters, and ``m`` weights of each witness that is heard."""
        evidence = self._evidence
        below, soles, points = self._below(x)
        of_sole = self._world.slopes_of_soles(x)
        rows = np.flatnonzero(np.isfinite(below.height))
        if self.is_heard("contact") and len(rows):
            jacobian = of_sole[rows] - self._world.slopes_of_surface(x, points, soles[rows], below.height[rows], _FLAT)
            gap, sigma = soles[rows, 1] - below.height[rows], _GAP_SIGMA_M + self._noise[rows]
            weight = _CONTACT_WEIGHT * evidence.weight[rows] * np.where(below.is_floor[rows], 1.0, _FURNITURE_WEIGHT)
            yield jacobian, gap, weight * _weight(gap / sigma) / sigma**2
        if self.is_heard("plane"):
            jacobian = of_sole.copy()
            jacobian[:, HEIGHT] = -1
            off, sigma = soles[:, 1] - x[HEIGHT], _PLANE_SIGMA_M + self._noise
            yield jacobian, off, _PLANE_WEIGHT * evidence.weight * _weight(off / sigma) / sigma**2
        if self._has_ground:
            off, sigma = self._ground_off(x)
            jacobian = self._world.slopes_of_points(x, evidence.ground)
            jacobian[:, GROUND] = -1
            yield jacobian, off, self._ground_weight * _weight(off / sigma) / sigma**2
            off, sigma = self._on_ground_off(x, soles)
            jacobian = of_sole.copy()
            jacobian[:, 0] -= np.exp(x[0]) * x[GROUND]
            jacobian[:, GROUND] = -np.exp(x[0])
            yield jacobian, off, self._on_ground_weight * evidence.weight * _weight(off / sigma) / sigma**2

    def result(self, x: np.ndarray) -> WorldFit:
        covariance = np.linalg.inv(self._equations(x)[0])
        sigma = np.sqrt(np.diag(covariance))
        is_silent = {"contact": not self._below(x)[0].is_floor.any(), "level": not self._has_ground}
        return WorldFit(
            log_scale=float(x[0]),
            bend=x[BENDS],
            up=self._world.up(x),
            height=float(x[HEIGHT]),
            log_size=x[SIZES:],
            log_scale_sigma=float(sigma[0]),
            height_sigma=float(sigma[HEIGHT]),
            log_size_sigma=sigma[SIZES:],
            witnesses=tuple(name for name in self._witnesses if not is_silent.get(name, False)),
        )


def _bounded(values: np.ndarray) -> np.ndarray:
    """Return Geman and McClure's loss: the square of small values, at most that of the knee."""
    return values**2 / (1 + (values / _KNEE) ** 2)


def _weight(values: np.ndarray) -> np.ndarray:
    """Return the weight of a square that has the slope of ``_bounded``."""
    return (1 + (values / _KNEE) ** 2) ** -2
