"""Statistics: what happens is written down at once, and sent when there is time for it."""
