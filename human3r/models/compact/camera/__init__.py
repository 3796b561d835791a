"""The camera head of ``compact``: explicit alignment against an anchor frame."""
