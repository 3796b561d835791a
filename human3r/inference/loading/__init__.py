"""From a name or path to a model that is ready to run: network, body, device and arithmetic."""
