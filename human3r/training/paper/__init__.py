"""Training of the paper's network on BEDLAM, following the paper; see README.md."""
