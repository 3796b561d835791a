"""Training of the compact lifter on simulated keypoints: no image is rendered or read here."""
