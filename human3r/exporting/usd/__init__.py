"""``scene.usdz``: the clip in Pixar's Universal Scene Description, for AR Quick Look, Blender and Omniverse."""
