"""glTF files: the animated scene, a still of it, and the writer of the format."""
