"""The reconstruction record, its tables during a run, and the fused scene."""
