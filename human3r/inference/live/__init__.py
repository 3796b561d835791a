"""Live streams: frames that arrive at their own pace, a time budget, the report and the result."""
