"""From keypoints to bodies: features, the lifter with its memory, and the fit to the keypoints."""
