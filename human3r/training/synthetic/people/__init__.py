"""People of synthetic clips: actions, bodies and clothes."""
