"""Keyframes: collected in a run, without people, and kept beside the result."""
