"""Where people are in the image: MoveNet on frames and crops, and whose keypoint is whose."""
