"""The suite uses the kit that users get; under `make test` its plugin comes with the installed package."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("capgo"):
        from capgo_client.testing import pytest_plugin

        if not config.pluginmanager.is_registered(pytest_plugin):
            config.pluginmanager.register(pytest_plugin, "capgo")
