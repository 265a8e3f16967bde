"""Notes 1.0: what the installer brings. Everything in this folder is replaced by an update."""

from __future__ import annotations

from kivy.app import App
from kivy.uix.boxlayout import BoxLayout

# Imported here so that notes.kv knows the banner by its name.
from capgo_client.integrations.kivy import LiveUpdates, UpdateBanner  # noqa: F401


class Notes(BoxLayout):
    """The window's content; notes.kv says what is in it."""


class NotesApp(LiveUpdates, App):
    """It says "ready" by itself, when its first frame is on the screen."""

    def build(self) -> Notes:
        """Kivy shows what this returns."""
        return Notes()


def main() -> None:
    NotesApp().run()
