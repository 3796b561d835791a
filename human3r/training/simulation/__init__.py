"""Simulated people for the lifter: poses, cameras and detector errors."""
