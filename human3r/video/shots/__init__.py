"""Divide a stream into shots, and find the picture inside the borders of each."""
