"""Which environment variables are shown, and which are not."""

import re

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIAL|AUTH", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None
