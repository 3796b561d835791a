"""Running a model on a stream: loading, sessions, the pipeline from clip to result, benchmarks."""
