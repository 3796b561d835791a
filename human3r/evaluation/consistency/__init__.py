"""Measures without ground truth: fit of a result to its images, and its consistency over time."""
