"""Scale, floor and sizes of a finished shot: its records, and one estimate of them."""
