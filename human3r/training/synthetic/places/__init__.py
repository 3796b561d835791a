"""Places of synthetic clips: rooms, streets, and their furniture."""
