"""Views of a moving camera made to agree: displacements of patches, and the path and depths that explain them."""
