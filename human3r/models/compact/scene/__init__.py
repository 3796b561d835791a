"""Scene heads of ``compact``: depth, person mask, focal length and scale."""
