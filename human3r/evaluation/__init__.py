"""The paper's benchmarks and metrics, our rendered clips, and measures without ground truth."""
