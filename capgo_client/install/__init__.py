"""Bundles on disk: safe extraction, sealed records, the store, the state file, clean-up."""
