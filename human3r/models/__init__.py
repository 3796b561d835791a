"""The network: parts, their assembly, the configurations. No files, no video, no body vertices, no devices by name."""
