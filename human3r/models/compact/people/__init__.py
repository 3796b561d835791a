"""People of ``compact``: detection, keypoints, prompts, and the lifting to bodies."""
