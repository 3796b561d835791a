"""Simulated people for the lifter: poses, cameras, and the errors of a detector."""
