"""What the app says."""
