"""Scripts around the page: screenshots, measurements, and the precomputed examples."""
