"""Training of the compact scene heads (depth, confidence, focal length, person mask, decoder) on rendered clips."""
