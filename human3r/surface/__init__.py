"""The scene as textured surfaces: keyframes gathered in a run, and the sheets that are built from them."""
