"""Clips for the paper's training: layout, crops, augmentation and truth."""
