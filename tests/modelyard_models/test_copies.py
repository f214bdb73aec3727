"""Data parallel copies, as the backends' own flags say them."""

import pytest
from modelyard_contracts.parameters import BadParameters
from modelyard_models.copies import Copies, sglang_copies, vllm_copies
from modelyard_models.flags import Flags


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("", Copies()),
        ("-dp 4", Copies(4, 4)),
        ("--data-parallel-size=4 --data-parallel-size-local=2", Copies(4, 4, 2)),
        ("-dp 4 -dpl 4", Copies(4, 4, 4)),
        ("-dp 4 -dpl 2 --data-parallel-hybrid-lb", Copies(4, 2, 2)),
        ("-dp 4 -dpl 2 --data-parallel-start-rank 2", Copies(4, 2, 2)),
        ("-dp 4 -dpl 2 --data-parallel-start-rank 0", Copies(4, 4, 2)),
        ("-dp 4 --data-parallel-rank 0", Copies(4, 1, 1)),
        ("-dp 4 -dpn 3 --data-parallel-external-lb -dpl 1", Copies(4, 1, 1)),
    ],
)
def test_vllm_counts_those_that_one_instance_runs(arguments: str, found: Copies) -> None:
    assert vllm_copies(Flags(arguments.split())) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-dp 4 -dpl 3", "4 copies cannot be shared out 3 to each worker"),
        ("-dp 2 -dpl 4", "must be from 1 to --data-parallel-size 2"),
        ("-dp 4 -dpl 0", "must be from 1 to"),
        ("-dp 4 --data-parallel-hybrid-lb", "needs --data-parallel-size-local"),
        ("-dp 4 --data-parallel-external-lb", "--data-parallel-rank must say which copy"),
        ("-dp 4 -dpn 1 -dpl 2", "--data-parallel-size-local: must be 1"),
    ],
)
def test_what_vllm_would_refuse_is_refused(arguments: str, message: str) -> None:
    with pytest.raises(BadParameters, match=message):
        vllm_copies(Flags(arguments.split()))


def test_sglang_multiplies_unless_attention_shares_the_ranks() -> None:
    assert sglang_copies(Flags(["--dp-size=2"])) == Copies(2, 2, 2)
    assert sglang_copies(Flags(["--dp", "1"])) == Copies()
    assert sglang_copies(Flags(["--dp-size=2", "--tp-size=4", "--enable-dp-attention"])) == Copies()
    with pytest.raises(BadParameters, match="--tp-size 4 is no multiple of --dp-size 3"):
        sglang_copies(Flags(["--dp-size=3", "--tp=4", "--enable-dp-attention"]))
