"""Settings of remote locations: which there are, and what they are where nobody gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradstore.errors import UsageError
from gradstore.registry import unknown_name

__all__ = ["CLIENT", "KNOWN", "check_options", "client_options", "flag"]

CLIENT = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "proxy_excludes",
    "proxy_url",
    "read_timeout",
    "root_certificate",
    "timeout",
)
"""Settings of the HTTP client; durations such as ``30s``."""

KNOWN: Mapping[str, tuple[str, ...]] = {
    "s3": (
        "access_key_id",
        "checksum_algorithm",
        "disable_bulk_delete",
        "endpoint",
        "region",
        "request_payer",
        "role_arn",
        "secret_access_key",
        "server_side_encryption",
        "session_token",
        "skip_signature",
        "sse_kms_key_id",
        "unsigned_payload",
        "virtual_hosted_style_request",
        "web_identity_token_file",
        *CLIENT,
    ),
    "gs": (
        "application_credentials",
        "base_url",
        "bearer_token",
        "service_account",
        "service_account_key",
        "skip_signature",
        *CLIENT,
    ),
    "az": (
        "account_key",
        "account_name",
        "client_id",
        "client_secret",
        "endpoint",
        "sas_key",
        "skip_signature",
        "tenant_id",
        "token",
        "use_azure_cli",
        *CLIENT,
    ),
    "http": ("password", "token", "username", *CLIENT),
    "hf": ("endpoint", "token"),
}
"""By kind of location; those beside the client's have the names that obstore gives them."""

_DEFAULTS = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}
# `timeout` is of a whole request: an object of 1 GiB may take long, what counts is that bytes come.
_FLAGS = ("allow_http", "allow_invalid_certificates")


def check_options(kind: str, options: Mapping[str, str]) -> None:
    """Refuse a setting that this kind of location does not have."""
    for name in options:
        if name not in KNOWN[kind]:
            raise UsageError(f"{kind}://: {unknown_name('setting', name, KNOWN[kind])}")


def client_options(options: Mapping[str, str], endpoint: str) -> dict[str, Any]:
    """Settings of obstore's HTTP client; an endpoint that begins with ``http://`` is taken as it is."""
    given: dict[str, Any] = {**_DEFAULTS, **{name: options[name] for name in CLIENT if name in options}}
    if endpoint.lower().startswith("http://"):
        given.setdefault("allow_http", "true")
    return {name: flag(name, value) if name in _FLAGS else value for name, value in given.items()}


def flag(name: str, value: str) -> bool:
    """What a setting that is true or false says.

    Raises
    ------
    UsageError
        If it says neither.
    """
    if value.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f"setting {name} is true or false, not {value!r}")
    return value.lower() in ("true", "1")
