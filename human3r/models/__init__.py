"""The networks: parts, assembly, configurations. No files, no video, no body vertices, no devices by name."""
