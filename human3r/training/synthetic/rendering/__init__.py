"""The renderer of synthetic clips: meshes, textures, light, blur and sensor."""
