"""Frozen convolutional networks, and the convolutions they are made of."""
