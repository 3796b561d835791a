"""Run a model on one stream: loading, session, filter, stream and pipeline."""
