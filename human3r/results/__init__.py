"""What a run leaves: the reconstruction record, its tables while the run goes on, and the fused scene."""
