"""Refinements that need the whole clip: offline smoothing, shapes and sizes of identities, a common floor."""
