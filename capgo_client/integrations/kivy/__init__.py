"""Live updates in a Kivy app: a mixin for ``App``, and a widget that tells of an update.

::

    from kivy.app import App
    from capgo_client.integrations.kivy import LiveUpdates, UpdateBanner

    class NotesApp(LiveUpdates, App):
        def build(self):
            root = BoxLayout(orientation="vertical")
            root.add_widget(UpdateBanner())
            ...
            return root

Kivy is imported when the app runs, or when ``UpdateBanner`` is first used.
"""

from __future__ import annotations

from capgo_client.integrations.kivy.app import LiveUpdates, on_clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.integrations.kivy.banner import UpdateBanner

__all__ = ["LiveUpdates", "UpdateBanner", "on_clock"]


def __getattr__(name: str) -> object:
    if name != "UpdateBanner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from capgo_client.integrations.kivy.banner import UpdateBanner

    return UpdateBanner
