"""What every test of the face may use: the update service, and one device with one app."""

from __future__ import annotations

import pytest
from one_app import App

from capgo_client.testing import Service


@pytest.fixture
def service():
    """The update service on a loopback port. Whatever a test did, the service found nothing wrong with a request."""
    with Service() as running:
        yield running
        assert [(request.path, request.body, reply.body) for request, reply in running.refused] == []


@pytest.fixture
def app(service, tmp_path):
    """One device with one app."""
    made = App(service, tmp_path)
    yield made
    made.close()
