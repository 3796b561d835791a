"""Builders of published rows: a table of numbers becomes records with named columns."""

from __future__ import annotations

from human3r.evaluation.metrics import DepthAlignment
from human3r.evaluation.protocol import PublishedRow

HUMAN3R = "Human3R (arXiv 2510.06219)"
SECONDARY = "as quoted by later papers"
"""Read in tables of other papers than the method's own: protocols agree in name, preprocessing may differ."""


def depth_rows(
    alignment: DepthAlignment, table: dict[str, tuple[float, float]], source: str = SECONDARY
) -> tuple[PublishedRow, ...]:
    """Build rows from (AbsRel, share below 1.25) by method."""
    return tuple(
        PublishedRow(method, {f"{alignment}.abs_rel": abs_rel, f"{alignment}.delta_1": delta}, source)
        for method, (abs_rel, delta) in table.items()
    )


def camera_rows(table: dict[str, tuple[float, float, float]], source: str = SECONDARY) -> tuple[PublishedRow, ...]:
    """Build rows from (ATE in metres, RPE in metres, RPE in degrees) by method."""
    columns = ("camera.ate_m", "camera.rpe_translation_m", "camera.rpe_rotation_deg")
    return tuple(
        PublishedRow(method, dict(zip(columns, values, strict=True)), source) for method, values in table.items()
    )


def local_rows(table: dict[str, tuple[float, float, float]], source: str) -> tuple[PublishedRow, ...]:
    """Build rows from (PA-MPJPE, MPJPE, PVE) in millimetres by method."""
    return tuple(
        PublishedRow(method, dict(zip(LOCAL_HEADLINE, values, strict=False)), source)
        for method, values in table.items()
    )


def world_rows(table: dict[str, tuple[float, float, float | None]], source: str) -> tuple[PublishedRow, ...]:
    """Build rows from (WA-MPJPE, W-MPJPE in millimetres, RTE in per cent or None where it is not given) by method."""
    return tuple(
        PublishedRow(
            method,
            {name: value for name, value in zip(WORLD_HEADLINE, values, strict=False) if value is not None},
            source,
        )
        for method, values in table.items()
    )


LOCAL_HEADLINE = (
    *("people.pa_mpjpe_mm", "people.mpjpe_mm", "people.pve_mm"),
    *("detection.recall", "detection.precision"),
)
"""Errors are of found people only: they are never shown without the recall."""
WORLD_METRICS = (
    *("wa_mpjpe_mm", "w_mpjpe_mm", "rte_percent"),
    *("scaled_rte_percent", "jitter_10m_s3", "foot_sliding_mm"),
)
WORLD_HEADLINE = (
    *("world.wa_mpjpe_mm", "world.w_mpjpe_mm", "world.rte_percent"),
    *("world.jitter_10m_s3", "world.foot_sliding_mm", "detection.recall"),
)
DEPTH_HEADLINE = ("metric.abs_rel", "metric.delta_1", "scale.abs_rel", "scale.delta_1")
SHIFT_HEADLINE = (
    *("scale_shift.abs_rel", "scale_shift.delta_1"),
    *("scale_shift_adam.abs_rel", "scale_shift_adam.delta_1"),
)
"""Published rows stand under Adam, which they were made with; our own only with that reference option."""
CAMERA_HEADLINE = ("camera.ate_m", "camera.rpe_translation_m", "camera.rpe_rotation_deg")
ALL_ALIGNMENTS: tuple[DepthAlignment, ...] = ("metric", "scale", "scale_shift", "median")
