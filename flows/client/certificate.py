"""What TLS needs: whom we trust, and the certificate by which we are known."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import msgspec

from flows.errors import SettingError


class Certified(msgspec.Struct, frozen=True):
    """A client certificate as files: PEM, `key` "" where it stands in the same file."""

    cert: str
    key: str = ""
    password: str = ""


def tls_context(certified: Certified | None = None) -> ssl.SSLContext:
    """A context for connections to others. Raises SettingError for a certificate that cannot be used.

    Certificates of servers are verified against certifi's roots, or those that SSL_CERT_FILE or SSL_CERT_DIR name.
    """
    context = httpx.create_ssl_context()
    if certified is None:
        return context
    try:
        context.load_cert_chain(certified.cert, certified.key or None, password=lambda: certified.password)
    except (OSError, ValueError) as exc:
        words = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or "it cannot be read"
        raise SettingError(
            f"The client certificate {Path(certified.cert).name} cannot be used ({words}).",
            hint="auth.certificate names PEM files in the folder ROWRELAY_SECRETS: the certificate and its own key.",
        ) from None  # its text might name what the key is opened with
    return context
