"""The readout of fingers, fitted to rendered hands: ``python -m human3r.training.hands --help``."""
