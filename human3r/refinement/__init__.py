"""What only a finished clip allows: offline smoothing, shapes and sizes of identities, a common floor."""
