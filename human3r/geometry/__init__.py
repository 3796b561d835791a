"""Pure functions, no state, no I/O: rigid transforms, pinhole cameras, alignment, meshes, point clouds, the floor."""
