"""A widget that tells of an update. Importing it imports Kivy, but opens no window."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING

from kivy.app import App
from kivy.lang import Builder
from kivy.properties import BooleanProperty, ColorProperty, NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from capgo_client.errors import BundleError, CapgoError
from capgo_client.integrations.kivy.app import LiveUpdates
from capgo_client.integrations.kivy.notice import HEARD, NOTHING, after, at_first
from capgo_client.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.events import Event
    from capgo_client.integrations.kivy.notice import Notice

__all__ = ["UpdateBanner"]

_log = Log("capgo_client.kivy")

Builder.load_string("""
<UpdateBanner>:
    orientation: "vertical"
    size_hint_y: None
    height: self.minimum_height
    opacity: 1 if self.stage else 0
    padding: (dp(12), dp(8)) if self.stage else 0
    canvas.before:
        Color:
            rgba: self.background_color
        Rectangle:
            pos: self.pos
            size: self.size
    BoxLayout:
        size_hint_y: None
        height: dp(40) if root.stage else 0
        spacing: dp(8)
        Label:
            text: root.title
            color: root.text_color
            text_size: self.size
            halign: "left"
            valign: "middle"
            shorten: True
            shorten_from: "right"
        Button:
            text: root.restart_text
            size_hint_x: None
            width: self.texture_size[0] + dp(32) if root.can_restart else 0
            opacity: 1 if root.can_restart else 0
            disabled: not root.can_restart
            background_normal: ""
            background_down: ""
            background_color: root.accent_color
            color: root.background_color
            on_release: root.restart()
    # What is not shown takes no room, so the gaps belong to what is.
    Widget:
        size_hint_y: None
        height: dp(12) if root.stage == "coming" else 0
        canvas:
            Color:
                rgba: root.track_color
            Rectangle:
                pos: self.pos
                size: self.width, self.height / 2
            Color:
                rgba: root.accent_color
            Rectangle:
                pos: self.pos
                size: self.width * root.percent / 100, self.height / 2
    Label:
        text: root.notes
        color: root.text_color
        size_hint_y: None
        text_size: self.width, None
        halign: "left"
        max_lines: root.note_lines
        height: self.texture_size[1] + dp(12) if self.text else 0
    Button:
        text: root.link_text
        size_hint: None, None
        width: self.texture_size[0] + dp(32)
        height: dp(36) if root.link else 0
        opacity: 1 if root.link else 0
        disabled: not root.link
        background_normal: ""
        background_down: ""
        background_color: root.track_color
        color: root.text_color
        on_release: root.read_more()
""")


class UpdateBanner(BoxLayout):  # type: ignore[misc]  # Kivy brings no types of its own
    """Nothing, while there is nothing to tell; a progress bar; then release notes and a button that restarts the app.

    It belongs into an app with ``LiveUpdates``. Where the app cannot restart itself, as on phones, there is no button,
    and for what opens at the next start ``later_text`` stands in place of ``ready_text``. Texts and colours are
    properties, for your language and style; ``{version}`` and ``{percent}`` are filled in.
    """

    coming_text = StringProperty("Version {version} is coming: {percent} %")
    ready_text = StringProperty("Version {version} is ready")
    later_text = StringProperty("Version {version} opens at the next start")
    restart_text = StringProperty("Restart")
    link_text = StringProperty("Read more")

    background_color = ColorProperty((0.13, 0.15, 0.19, 1))
    text_color = ColorProperty((1, 1, 1, 1))
    accent_color = ColorProperty((0.55, 0.83, 1, 1))
    track_color = ColorProperty((0.27, 0.31, 0.38, 1))
    #: Longer release notes are cut after so many lines; 0 for no limit.
    note_lines = NumericProperty(6)

    #: What it shows, for rules and bindings of yours: ``""``, ``"coming"`` or ``"ready"``.
    stage = StringProperty("")
    version = StringProperty("")
    percent = NumericProperty(0)
    title = StringProperty("")
    notes = StringProperty("")
    link = StringProperty("")
    can_restart = BooleanProperty(False)

    def __init__(self, **options: object) -> None:
        self._notice: Notice = NOTHING
        self._unsubscribe: list[Callable[[], None]] = []
        super().__init__(**options)

    def restart(self) -> None:
        """What the button does."""
        try:
            _app().restart_into_update(self._notice.bundle)
        except BundleError as exc:  # it is not there any more, or was condemned
            _log.warning("the update cannot be opened: %s", exc)
            self._look()
        except CapgoError as exc:
            _log.warning("the app cannot change over now: %s", exc)
            self.can_restart = False
            self._write_title()

    def read_more(self) -> None:
        """Open the publisher's page in the browser."""
        if self.link:
            webbrowser.open(self.link)

    def on_parent(self, _: object, parent: object) -> None:
        """Listen while it is part of something, from what is queued already."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        if parent is None:
            return
        try:
            updater = _app().updater
            emitter = updater._engine.emitter  # noqa: SLF001 - what is kept for the app's own listeners stays theirs
            self._unsubscribe.extend([emitter.observe(name, self._hear) for name in HEARD])
            self._look()
        except CapgoError as exc:
            _log.warning("no update will be shown: %s", exc)

    def _look(self) -> None:
        """Show what there is, whatever was told."""
        updater = _app().updater
        here = updater.bundles()
        self._show(at_first(updater.next_bundle, running=updater.current, told=self._notice, here=here))

    def _hear(self, event: Event) -> None:
        self._show(after(self._notice, event))

    def _show(self, notice: Notice) -> None:
        self._notice = notice
        self.version, self.percent = notice.version, notice.percent
        self.notes, self.link = notice.comment, notice.link
        self.can_restart = notice.stage == "ready" and _app().can_restart
        self.stage = notice.stage
        self._write_title()

    def _write_title(self) -> None:
        opens_later = self._notice.queued and not self.can_restart
        ready = self.later_text if opens_later else self.ready_text
        text = {"": "", "coming": self.coming_text, "ready": ready}[self.stage]
        self.title = text.format(version=self.version, percent=self.percent)


def _app() -> LiveUpdates:
    app = App.get_running_app()
    if not isinstance(app, LiveUpdates):
        raise CapgoError(
            "the running app is none with LiveUpdates", code="not_started", hint="class MyApp(LiveUpdates, App)"
        )
    return app
