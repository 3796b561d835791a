"""People of ``compact``: detection, keypoints, prompts, and lifting to body parameters."""
