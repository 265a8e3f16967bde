"""A service inside the process: what it offers can be changed between two calls, and nothing waits for a socket."""

from __future__ import annotations

import json

import httpx

from capgo_client.testing import make_bundle

URL = "http://127.0.0.1:9"


def bundle(version):
    return make_bundle(version, {"main.py": f"print({version!r})", "pkg/__init__.py": "", "pkg/v.txt": version})


class Shop(httpx.BaseTransport):
    """Offers the newest of ``versions`` and hands out each of them."""

    def __init__(self, *versions):
        self.made = {version: bundle(version) for version in versions}
        self.offer = versions[-1]
        self.downloads = []

    def url(self, version):
        return f"{URL}/{version}.zip"

    def handle_request(self, request):
        request.read()
        if request.method == "POST":
            made = self.made[self.offer]
            reply = {"version": self.offer, "url": self.url(self.offer), "checksum": made.checksum}
            return httpx.Response(200, content=json.dumps(reply), headers={"content-type": "application/json"})
        version = request.url.path.strip("/").removesuffix(".zip")
        self.downloads.append(version)
        return httpx.Response(200, content=self.made[version].archive)
