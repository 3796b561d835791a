"""Conversion of the pretrained networks that packages carry into our own weight files; run once, by hand."""
