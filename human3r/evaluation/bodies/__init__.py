"""Bodies of the people benchmarks: licensed files, SMPL surfaces, and scores over a sequence."""
