"""Training: data, losses, loop. Never imported by the runtime."""
