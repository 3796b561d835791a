"""Known defects of the public evaluation as named options: reproduced beside the corrected result, never instead.

Published rows were computed with some of them, so comparisons need both figures.
"""

from __future__ import annotations

from dataclasses import replace

from human3r.errors import InputError
from human3r.evaluation.protocol import Benchmark

GENDER_SLOT = "gender-slot"
SPECTRAL_MATCHING = "spectral-matching"
ADAM_SHIFT = "adam-shift"
ROUNDED_MEANS = "rounded-means"

DEFECTS = {
    GENDER_SLOT: "women get the male body, but for the first frame: a person's slot was taken for a row of the table",
    SPECTRAL_MATCHING: "people are matched by the largest singular value of joint differences, with an early stop",
    ADAM_SHIFT: "scale and shift of depth come from 1000 small steps of Adam, which do not converge",
    ROUNDED_MEANS: "means of a sequence are rounded to one decimal before they are averaged",
}
"""Effect of each. Source: Human3R's released evaluation (arXiv 2510.06219), as described in this project's notes."""

PEOPLE_DEFECTS = (SPECTRAL_MATCHING, ROUNDED_MEANS)
DEPTH_DEFECTS = (ADAM_SHIFT,)


def with_references(benchmark: Benchmark, text: str) -> Benchmark:
    """Return the benchmark with the named defects beside the corrected result.

    Args:
        text: Comma-separated names, or ``all`` of this benchmark.

    Raises:
        InputError: An unknown name, or a defect that this benchmark does not have.
    """
    names = benchmark.references if text == "all" else tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    protocol = benchmark.protocol
    for name in names:
        if name not in benchmark.references:
            what = "does not apply to" if name in DEFECTS else "is unknown to"
            known = ", ".join(benchmark.references) or "none"
            raise InputError(f"The reference option {name!r} {what} {protocol.name}.", f"Choose all, or of {known}.")
    alignments = protocol.alignments
    if ADAM_SHIFT in names and "scale_shift_adam" not in alignments:
        alignments = (*alignments, "scale_shift_adam")
    return replace(benchmark, protocol=replace(protocol, references=names, alignments=alignments))
