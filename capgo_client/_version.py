"""The library's own version; it goes into the User-Agent, never into ``plugin_version``."""

__version__ = "0.1.0"
