"""The parts of the paper's network: encoders, heads and prompts of the released weights."""
