"""The files that ``capgo-client new`` writes; it fills in ``@NAME@``, ``@APP_ID@`` and ``@VERSION@``."""

from __future__ import annotations

from capgo_client.cli.skeleton import kivy, plain

__all__ = ["FILES", "KIVY_FILES"]

#: An app that prints, and one with a window: the path in the new folder, and what stands there.
FILES = plain.FILES
KIVY_FILES = kivy.FILES
