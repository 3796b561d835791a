"""Parts of the paper's network: encoders, prompts and heads of the released weights."""
