"""Places of synthetic clips: rooms, streets, and what stands in them."""
