"""Rows of published tables, which are data: ``published.json`` holds them by benchmark.

Rows "as quoted by later papers" were read in tables of other papers than the method's own: protocols agree in name,
preprocessing may differ. Published scale-and-shift values were made with Adam; ours stand beside them only with that
reference option.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table."""

    method: str
    source: str
    values: dict[str, float]
    """Value by ``group.metric``, in the units of our metrics."""


def published_rows(benchmark: str) -> list[PublishedRow]:
    """Return the published rows of a benchmark; none where nothing is published."""
    return [PublishedRow(**row) for row in json.loads(_FILE.read_text(encoding="utf-8")).get(benchmark, [])]
