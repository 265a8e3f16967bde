from __future__ import annotations

import pytest
from attacked import Device


@pytest.fixture(scope="module", params=["no key", "key"])
def device(request, tmp_path_factory):
    """One device for all tests of a module; each leaves it as it was."""
    made = Device(tmp_path_factory.mktemp("device"), keys=request.param == "key")
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain_device(tmp_path_factory):
    """One that trusts no publisher."""
    made = Device(tmp_path_factory.mktemp("device"), keys=False)
    yield made
    made.close()
