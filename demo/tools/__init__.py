"""Development scripts: screenshots, measurements, and the precomputed examples."""
