import signal

import pytest
from modelyard_contracts.failures import FailureCause
from modelyard_worker_agent.domain.failures import classify


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("bad argument: unrecognized arguments: --nope", FailureCause.BAD_ARGUMENT),
        ("model not found: /m/x.gguf", FailureCause.MODEL_NOT_FOUND),
        ("E gguf_init_from_file: failed to open GGUF file (No such file or directory)", "model_not_found"),
        ("E llama_model_load: error loading model: unknown model architecture: 'x'", "unsupported_model"),
        ("E gguf_init_from_file_impl: invalid magic characters: 'abcd'", "unsupported_model"),
        ("ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer", "out_of_memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "out_of_memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "out_of_memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing it.", "out_of_memory"),
        ("ValueError: Free memory on device (3.1/79.2 GiB) is less than desired", "out_of_memory"),
        ("api_server.py: error: unrecognized arguments: --no-such-flag", "bad_argument"),
        ("launch_server.py: error: argument --tp-size: invalid int value: 'x'", "bad_argument"),
        ("ValueError: Model architectures ['X'] are not supported for now.", "unsupported_model"),
        ("The model type `x` but Transformers does not recognize this architecture", "unsupported_model"),
        ("OSError: /m/x is not a local folder and is not a valid model identifier", "model_not_found"),
        ("OSError: [Errno 98] error while attempting to bind: address already in use", "port_in_use"),
        ("cannot get image vllm/vllm-openai:v9: manifest unknown", "download_failed"),
        ("out of memory: the container reached its memory limit", "out_of_memory"),
        ("E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 80", "port_in_use"),
    ],
)
def test_the_last_lines_tell_the_cause(line: str, cause: str) -> None:
    failure = classify(3, ["loading", line, "and something after"])

    assert failure.cause == cause
    assert line in failure.message
    assert failure.exit_code == 3


@pytest.mark.parametrize(
    "line",
    [
        *("architecture bloom", "zoom in", "there is room"),
        "WARNING 11-25 19:36:01 [cpu.py:151] FP8 KV cache is not supported on this CPU",
        "(APIServer pid=1) INFO 11-25 19:36:01 [api_server.py:20] unsupported option ignored",
    ],
)
def test_words_in_passing_mean_nothing(line: str) -> None:
    assert classify(1, [line]).cause is FailureCause.CRASHED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_was_killed_by_another_did_not_crash(number: signal.Signals) -> None:
    failure = classify(-number, ["E something: invalid magic"])

    assert (failure.cause, failure.signal, failure.exit_code) == (FailureCause.KILLED, number, None)
    assert number.name in failure.message


def test_a_crash_stays_a_crash_whatever_was_said_before() -> None:
    failure = classify(-signal.SIGSEGV, ["W flash attention is not supported here, going on without"])

    assert (failure.cause, failure.signal) == (FailureCause.CRASHED, signal.SIGSEGV)


def test_an_abort_for_want_of_memory_says_so() -> None:
    assert classify(-signal.SIGABRT, ["CUDA error: out of memory"]).cause is FailureCause.OUT_OF_MEMORY


def test_an_end_with_status_0_was_not_asked_for() -> None:
    assert classify(0, ["bye"]).cause is FailureCause.EXITED


def test_an_end_nobody_saw_says_so() -> None:
    failure = classify(None, ["whatever"])

    assert failure.cause is FailureCause.KILLED
    assert (failure.exit_code, failure.signal) == (None, None)


def test_an_unknown_status_is_told_with_the_last_line() -> None:
    assert classify(9, ["one", "two"]).message == "it ended with status 9: two"
    assert classify(9, []).message == "it ended with status 9: it said nothing"
