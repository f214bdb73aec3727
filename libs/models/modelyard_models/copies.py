"""Data parallel copies of a model: how many there are, how many one instance runs, how workers share them."""

from dataclasses import dataclass

from modelyard_contracts.parameters import BadParameters

from modelyard_models.flags import Flags

VLLM_DATA = ("--data-parallel-size", "-dp")
SGLANG_DATA = ("--dp-size", "--dp", "--data-parallel-size")
SGLANG_TENSOR = ("--tp-size", "--tp", "--tensor-parallel-size")


@dataclass(frozen=True, slots=True)
class Copies:
    in_all: int = 1
    here: int = 1
    """Those of one instance. Others are other servers, which somebody else balances."""
    on_each: int | None = None
    """Of `here`, those of each worker; None: as it comes."""


def vllm_copies(flags: Flags) -> Copies:
    """As `vllm serve` reads its flags (vllm/engine/arg_utils.py). Raises `BadParameters`."""
    in_all = flags.whole(*VLLM_DATA) or 1
    local = flags.whole("--data-parallel-size-local", "-dpl", least=0)
    if local is not None and not 1 <= local <= in_all:
        raise BadParameters(f"--data-parallel-size-local: must be from 1 to --data-parallel-size {in_all}")
    rank = flags.text("--data-parallel-rank", "-dpn")
    if rank is not None or flags.has("--data-parallel-external-lb", "-dpe"):
        return _one_of(in_all, local, rank)
    starts_later = flags.whole("--data-parallel-start-rank", "-dpr", least=0)
    if starts_later or flags.has("--data-parallel-hybrid-lb", "-dph"):
        if local is None:
            raise BadParameters("--data-parallel-hybrid-lb: it needs --data-parallel-size-local")
        return Copies(in_all, local, local)
    if local is not None and in_all % local:
        told = f"{in_all} copies cannot be shared out {local} to each worker"
        raise BadParameters(f"--data-parallel-size-local: {told}")
    return Copies(in_all, in_all, local)


def _one_of(in_all: int, local: int | None, rank: str | None) -> Copies:
    """Each copy is a server of its own."""
    if rank is None:
        raise BadParameters("--data-parallel-external-lb: --data-parallel-rank must say which copy this is")
    if local not in (None, 1):
        raise BadParameters("--data-parallel-size-local: must be 1 where --data-parallel-rank is said")
    return Copies(in_all, 1, 1)


def sglang_copies(flags: Flags) -> Copies:
    """With data-parallel attention the copies are inside of the tensor ranks; otherwise all are on one worker
    (sglang/srt/server_args.py). Raises `BadParameters`."""
    in_all = flags.whole(*SGLANG_DATA) or 1
    if in_all == 1 or not flags.has("--enable-dp-attention"):
        return Copies(in_all, in_all, in_all if in_all > 1 else None)
    tensor = flags.whole(*SGLANG_TENSOR) or 1
    if tensor % in_all:
        raise BadParameters(f"--enable-dp-attention: --tp-size {tensor} is no multiple of --dp-size {in_all}")
    return Copies()
