"""Layers shared by the paper's network and ``compact``: attention, blocks, rotary positions, prepacked linears."""
