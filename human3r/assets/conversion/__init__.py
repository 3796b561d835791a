"""Foreign checkpoints and body files, read as data in a child process and converted to ours."""
