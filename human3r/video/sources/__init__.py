"""Decode a clip: one source for each kind of file or stream. Runs inside the decoder process only."""
