"""Seals secret values so that events, messages and tables may carry them."""

from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken


class Unsealable(Exception):
    """The value was sealed with another key, or is damaged."""


class Sealer:
    """Seals text with a key that is 32 bytes in URL-safe base64 (`Sealer.new_key`)."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key.encode())

    @staticmethod
    def new_key() -> str:
        return Fernet.generate_key().decode()

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Raises `Unsealable`."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Unsealable("a sealed value does not open with this installation's secret key") from error

    def holds(self, sealed: str, text: str) -> bool:
        """Whether this is what was sealed; what does not open holds nothing that is known."""
        try:
            return self.unseal(sealed) == text
        except Unsealable:
            return False

    def unseal_all(self, sealed: Mapping[str, str]) -> dict[str, str]:
        return {name: self.unseal(value) for name, value in sealed.items()}
