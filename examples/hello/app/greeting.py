"""What the app says; every published version of it brings its own."""

VERSION = "1.0.0"


def greet() -> str:
    return f"Hello from version {VERSION}."
