"""The page: components, markup, texts, and the API endpoint that shares its option fields."""
