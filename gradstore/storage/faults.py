"""What obstore's errors mean: whether to try again, and one line for the user."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Fault", "fault_of"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_PASSING = (408, 429)
_CREDENTIALS = (  # where they are looked for last
    "169.254.169.254",
    "/latest/api/token",
    "/latest/meta-data",
    "computeMetadata",
    "az account",
)
_LOGIN = "token request"  # with credentials that were found
_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
_SETTING = ("builder error", "failed to parse", "Config error", "must be specified", "Invalid Access Key")


class Fault(NamedTuple):
    """Why an operation failed.

    Attributes
    ----------
    passing : bool
        Whether trying again may help.
    answered : bool
        Whether the server said anything.
    line : str
        What to tell the user, without names of objects.
    detail : str
        What the library said, without secrets; shown with tracebacks only.
    """

    passing: bool
    answered: bool
    line: str
    detail: str = ""


def fault_of(text: str) -> Fault:
    """Read an error's text; all that obstore tells is there."""
    head = text.partition("\n\nDebug source:")[0]
    status = _STATUS.search(head)
    if any(sign in head for sign in _CREDENTIALS):
        return Fault(
            status is not None
            and _passes(int(status.group(1))),  # a machine's own, of which the service is busy
            False,
            "no credentials were found: set those of the bucket (docs/locations.md), or skip_signature=true if it is "
            "public",
        )
    if "redirect" in head.lower():
        return Fault(False, True, "the bucket is in another region or at another endpoint: set its region")
    if status is not None:
        return _answer(int(status.group(1)), _CODE.search(head), _LOGIN in head)
    if any(sign in head for sign in _SETTING) or "InvalidUri" in text:
        return Fault(False, False, "a setting of the location, such as its endpoint or key, is not valid")
    if "error sending request" in head:
        return Fault(
            True, False, "no answer from the server: check the network, and the endpoint if one is set"
        )
    return Fault(True, True, "the connection broke off")


def _passes(status: int) -> bool:
    return status >= 500 or status in _PASSING


def _answer(status: int, found: re.Match[str] | None, login: bool) -> Fault:
    code = found.group(1) if found else ""
    answer = f"the server answered {status} {code}".rstrip()
    if _passes(status) or code in ("SlowDown", "RequestTimeout"):
        return Fault(True, True, answer)
    if code in ("NoSuchBucket", "ContainerNotFound"):
        return Fault(False, True, "there is no such bucket")
    if login or status in (401, 403) or code in _REFUSED:
        return Fault(False, True, f"{answer}: check the credentials and what they give a right to")
    if status == 404:
        return Fault(False, True, f"{answer}: check the location")
    return Fault(False, True, answer)
