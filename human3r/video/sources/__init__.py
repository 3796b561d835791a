"""Decode a clip: one source for each kind of file. Runs inside the decoder process only."""
