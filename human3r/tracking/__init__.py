"""Identities over time: who of this frame was seen before."""
