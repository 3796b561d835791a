"""Training of the paper's network as the paper does it: BEDLAM in, a tuned network out. See README.md beside it."""
