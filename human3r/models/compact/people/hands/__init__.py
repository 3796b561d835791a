"""Hands: where they are, and how their fingers bend."""
