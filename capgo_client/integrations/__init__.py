"""Thin, optional ties to toolkits. Nothing else of the library imports them."""
