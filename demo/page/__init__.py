"""The page itself: components, HTML parts, and every sentence a visitor reads."""
