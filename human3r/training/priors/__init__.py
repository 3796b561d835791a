"""Conversion of pretrained networks of public packages to our own weight files; run once, by hand."""
