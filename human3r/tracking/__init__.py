"""Identities over time: assigns people of a frame to people seen before."""
