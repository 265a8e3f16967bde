"""The app: everything in this folder can be updated. The start file outside it runs whichever version is open."""

from greeting import greet

from capgo_client import current_updater

print(greet(), flush=True)

# The app works; a version that never gets as far as this is rolled back.
current_updater().notify_app_ready()
