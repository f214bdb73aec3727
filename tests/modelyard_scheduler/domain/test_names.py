import pytest
from modelyard_scheduler.domain.names import instance_name


def test_an_instance_is_named_after_its_deployment() -> None:
    assert instance_name("chat", "a1b2c") == "chat-a1b2c"


@pytest.mark.parametrize("suffix", ["", "abcd", "abcdef", "ABCDE", "ab-cd"])
def test_other_suffixes_are_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match="not 5 characters"):
        instance_name("chat", suffix)
