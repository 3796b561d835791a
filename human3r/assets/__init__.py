"""Weights and body files: what exists, where it is, and how it is read safely."""
