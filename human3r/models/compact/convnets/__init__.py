"""Frozen convolutional backbones of ``compact``, and their layers."""
