"""Whom to trust when no ``ssl.SSLContext`` was given."""

from __future__ import annotations

import os
import ssl

from capgo_client.errors import NetworkError

__all__ = ["default_context"]


def default_context(*, trust_env: bool = True) -> ssl.SSLContext:
    """Trust the system's authorities and certifi's together.

    Either alone fails somewhere: a frozen app's certifi grows old, a company's own authority is only in the system's
    store, and some Pythons (macOS, Android) see no system store. ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` replaces both.
    """
    try:
        context = ssl.create_default_context()
        if not (trust_env and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"))):
            _add_certifi(context)
    except (OSError, ValueError) as exc:
        hint = "see SSL_CERT_FILE and SSL_CERT_DIR, and whether certifi's cacert.pem was packed with the app"
        raise NetworkError("The list of trusted certificates cannot be read", code="tls_error", hint=hint) from exc
    return context


def _add_certifi(context: ssl.SSLContext) -> None:
    try:
        import certifi
    except ImportError:  # httpx brings it today and need not tomorrow
        return
    try:
        context.load_verify_locations(certifi.where())
    except FileNotFoundError:
        if not context.cert_store_stats()["x509_ca"]:
            raise
