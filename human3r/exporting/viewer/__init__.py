"""The 4D viewer: live scene, recordings, offline page, and the player's files."""
