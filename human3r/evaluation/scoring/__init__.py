"""Scores of single sequences: camera paths, depth, and the matching of people."""
