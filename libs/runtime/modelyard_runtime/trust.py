"""Whom a TLS client believes: the system's authorities, and the one of the installation."""

import base64
import binascii
import ssl

from modelyard_runtime.settings import BadSettings


def trusting(ca: str | None) -> ssl.SSLContext | None:
    """A client's context that also believes the certificate `ca` (base64 of its DER); None without one.

    Raises `BadSettings`.
    """
    if not ca:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cadata=base64.b64decode(ca, validate=True))
    except (binascii.Error, ssl.SSLError, ValueError) as error:
        raise BadSettings(
            f"--ca (MODELYARD_CA): this is not the base64 of a certificate in DER: {error}"
        ) from error
    return context
