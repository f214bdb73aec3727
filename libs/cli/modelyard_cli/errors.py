"""What a person is told when a command cannot do what was asked."""


class CliError(Exception):
    """One sentence for standard error; `hint` says what to do next. Exit code 1."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CliError):
    """The command was put wrongly, or this machine lacks what it needs. Exit code 2."""

    exit_code = 2
