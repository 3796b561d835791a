"""Media in and out: probing, isolated decoding, sampling, preprocessing, writing."""
