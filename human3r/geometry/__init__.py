"""Pure functions on tensors: rigid transforms, cameras, alignment. No state, no I/O."""
