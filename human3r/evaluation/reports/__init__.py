"""Reports of an evaluation: JSON summary, HTML page and pictures."""
