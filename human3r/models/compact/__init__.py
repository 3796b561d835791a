"""``compact``: the parts of the embedded model for CPUs."""
