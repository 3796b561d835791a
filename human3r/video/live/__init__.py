"""Sources in real time: cameras, network streams, files at their own pace, and pictures of a browser's camera."""
