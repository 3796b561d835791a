"""Weights and body files: registry, download, safe reading and conversion."""
