"""The camera head of ``compact``: photometric alignment to an anchor frame."""
