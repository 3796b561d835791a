"""Identities over time: match the people of a frame to those seen before."""
