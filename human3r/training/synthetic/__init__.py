"""Rendered clips with exact ground truth: rooms, streets and people from permissively licensed assets.

Reading clips needs :mod:`human3r.training.clip` only; rendering needs the training-only dependency numba.
"""
