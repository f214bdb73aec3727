"""The command lines of all backends, as data makes them."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.command import command_line, user_arguments, without
from modelyard_backends.dialects import DIALECTS, dialect_of
from modelyard_backends.start import Adapter, CannotStart, CommandLine, Group, Member, Start
from modelyard_contracts.backends import BackendVersion, InferenceBackend
from modelyard_contracts.deployments import (
    Claim,
    DeploymentSpec,
    ExtendedKVCache,
    LoraAdapter,
    Source,
    SpeculativeConfig,
)
from modelyard_contracts.parameters import BadParameters, flags_of, name_of, value_of

GIB = 2**30


def spec(*parameters: str, **fields: Any) -> DeploymentSpec:
    return DeploymentSpec(
        source=Source.LOCAL_PATH, local_path="/models/m", backend_parameters=parameters, **fields
    )


def start(framework: str = "cuda", gpus: int = 1, claim: Claim | None = None, **fields: Any) -> Start:
    vram = {f"{framework}:{index}": 80 * GIB for index in range(gpus)} if framework != "cpu" else {}
    return Start(
        model_path="/models/m",
        model_name="chat",
        host="127.0.0.1",
        port=41234,
        worker_ip="10.0.0.1",
        version=fields.pop("version", "1"),
        framework=framework,
        claim=claim or Claim(vram_bytes=vram),
        directory="/run/17/0",
        vram_bytes=sum(vram.values()),
        **fields,
    )


def line(
    backend: str | InferenceBackend, wanted: DeploymentSpec, at: Start, *, in_container: bool = False
) -> CommandLine:
    definition = BUILT_IN[backend] if isinstance(backend, str) else backend
    return command_line(definition, wanted, at, env=wanted.env, in_container=in_container)


def test_vllm_on_one_device_is_told_where_it_listens_and_what_it_is_called() -> None:
    made = line("vLLM", spec(), start())

    assert made.arguments == (
        *("vllm", "serve", "/models/m", "--host", "127.0.0.1", "--port", "41234"),
        *("--served-model-name", "chat"),
    )
    assert (made.injected, made.given) == ((), ())


def test_what_is_claimed_is_passed_on() -> None:
    claim = Claim(
        vram_bytes={"cuda:1": GIB, "cuda:0": GIB}, fraction=0.85, context_tokens=8192, ram_bytes=GIB
    )

    assert line("vLLM", spec(), start(claim=claim)).injected == (
        *("--tensor-parallel-size", "2"),
        *("--gpu-memory-utilization", "0.85", "--max-model-len", "8192"),
    )
    assert line("SGLang", spec(), start(claim=claim)).injected == (
        *("--tp-size", "2", "--mem-fraction-static", "0.85", "--context-length", "8192"),
    )


def test_the_users_value_beats_ours_in_any_spelling() -> None:
    claim = Claim(vram_bytes={"cuda:0": GIB, "cuda:1": GIB}, fraction=0.85, context_tokens=8192)
    wanted = spec("--gpu_memory_utilization=0.5", "-tp 1", "--max-model-len", "4096")

    made = line("vLLM", wanted, start(claim=claim))

    assert made.injected == ()
    assert made.given == ("--gpu_memory_utilization=0.5", "-tp", "1", "--max-model-len", "4096")
    assert made.arguments[-5:] == made.given


@given(
    st.sampled_from(sorted(DIALECTS)), st.lists(st.sampled_from(["--a", "--b-c", "--b_c=1", "--no-a", "x"]))
)
def test_nothing_of_ours_stays_that_the_user_says_and_all_else_does(name: str, given: list[str]) -> None:
    ours = ["--a", "1", "--b-c", "2", "--d", "3"]
    said = {name_of(flag) for flag in flags_of(given)}

    kept = without(ours, given, dialect_of(name))

    assert [name_of(flag) for flag in flags_of(kept)] == [
        name for name in ("--a", "--b-c", "--d") if name not in said
    ]


@pytest.mark.parametrize(
    ("backend", "flag"), [("vLLM", "--port"), ("SGLang", "--host=0"), ("llama.cpp", "-m")]
)
def test_flags_that_are_ours_are_refused(backend: str, flag: str) -> None:
    with pytest.raises(BadParameters, match="is set by the worker"):
        user_arguments(backend, [flag, "1"])


def test_lora_adapters_have_the_deployments_name_before_theirs() -> None:
    adapters = (Adapter("chat:law", "/l", rank=12), Adapter("chat:tax", "/t", rank=40))
    wanted = spec(lora_list=(LoraAdapter(lora_name="law"), LoraAdapter(lora_name="tax")))

    vllm = line("vLLM", wanted, start(adapters=adapters)).injected
    sglang = line("SGLang", wanted, start(adapters=adapters)).injected

    assert vllm[:6] == ("--enable-lora", "--max-loras", "2", "--max-lora-rank", "64", "--lora-modules")
    assert [json.loads(module) for module in vllm[6:]] == [
        {"name": "chat:law", "path": "/l"},
        {"name": "chat:tax", "path": "/t"},
    ]
    assert sglang == ("--lora-paths", "chat:law=/l", "chat:tax=/t", "--max-loras-per-batch", "3")
    assert line("llama.cpp", wanted, start(adapters=adapters)).injected == (
        *("--lora-scaled", "/l:0", "--lora-scaled", "/t:0", "--no-cache-prompt"),
    )
    with pytest.raises(CannotStart, match="lora_list: MindIE serves no adapters"):
        line("MindIE", wanted, start())


def test_speculative_decoding() -> None:
    ngram = SpeculativeConfig(
        enabled=True,
        algorithm="ngram",
        num_draft_tokens=5,
        ngram_max_match_length=4,
        ngram_min_match_length=2,
    )
    [_, said] = line("vLLM", spec(speculative_config=ngram), start()).injected
    assert json.loads(said) == {
        "method": "ngram",
        "num_speculative_tokens": 5,
        "prompt_lookup_max": 4,
        "prompt_lookup_min": 2,
    }
    eagle = spec(speculative_config=SpeculativeConfig(enabled=True, algorithm="eagle3", draft_model="d/m"))
    with pytest.raises(CannotStart, match="draft_model"):
        line("vLLM", eagle, start())
    made = line("SGLang", eagle, start(draft_path="/draft")).injected
    assert value_of(made, "--speculative-algorithm") == "EAGLE3"
    assert value_of(made, "--speculative-draft-model-path") == "/draft"
    assert value_of(made, "--speculative-num-draft-tokens") == "4"
    off = SpeculativeConfig(enabled=False, algorithm="eagle3")
    assert line("llama.cpp", spec(speculative_config=off), start()).injected == ()


def test_speculative_decoding_of_llama_cpp() -> None:
    def said(draft: str | None = None, **fields: Any) -> tuple[str, ...]:
        wanted = spec(speculative_config=SpeculativeConfig(enabled=True, **fields))
        return line("llama.cpp", wanted, start(draft_path=draft)).injected

    assert said("/d.gguf", num_draft_tokens=5) == (
        *("--spec-type", "draft-simple", "--model-draft", "/d.gguf", "--spec-draft-n-max", "5"),
    )
    assert said("/d.gguf", algorithm="eagle3")[:2] == ("--spec-type", "draft-eagle3")
    assert said(algorithm="mtp") == ("--spec-type", "draft-mtp")
    assert said(algorithm="ngram", ngram_max_match_length=4, num_draft_tokens=8) == (
        *("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "4"),
        *("--spec-ngram-simple-size-m", "8"),
    )
    with pytest.raises(CannotStart, match="draft_model: is needed"):
        said()


def test_the_projector_beside_a_model_is_loaded_unless_the_user_wants_none() -> None:
    seeing = start(projector_path="/models/mmproj.gguf")

    assert line("llama.cpp", spec(), seeing).injected == ("--mmproj", "/models/mmproj.gguf")
    assert line("llama.cpp", spec("--no-mmproj"), seeing).injected == ()
    assert line("llama.cpp", spec("-mm /my.gguf"), seeing).injected == ()
    assert line("vLLM", spec(), seeing).injected == ()


@pytest.mark.parametrize(("category", "flag"), [("embedding", "--embedding"), ("reranker", "--reranking")])
def test_llama_cpp_is_told_what_it_serves(category: str, flag: str) -> None:
    assert line("llama.cpp", spec(categories=(category,)), start()).injected == (flag,)
    assert line("vLLM", spec(categories=(category,)), start()).injected == ()


def test_extended_kv_cache_is_lmcache_with_its_variables() -> None:
    cache = ExtendedKVCache(enabled=True, ram_ratio=1.5, chunk_size=256, remote_url="redis://cache:6379")

    made = line("vLLM", spec(extended_kv_cache=cache), start(gpus=2))

    transfer = value_of(made.injected, "--kv-transfer-config")
    assert json.loads(transfer or "") == {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}
    assert made.env["LMCACHE_MAX_LOCAL_CPU_SIZE"] == "240"
    assert (made.env["LMCACHE_CHUNK_SIZE"], made.env["LMCACHE_REMOTE_URL"]) == ("256", "redis://cache:6379")
    fixed = cache.model_copy(update={"ram_size": 20})
    sglang = line("SGLang", spec(extended_kv_cache=fixed), start("rocm"))
    assert "--enable-lmcache" in sglang.injected
    assert sglang.env["LMCACHE_MAX_LOCAL_CPU_SIZE"] == "20"


@pytest.mark.parametrize(
    ("backend", "framework", "why"),
    [
        ("MindIE", "cann", "not with MindIE"),
        ("vLLM", "cann", "not on cann"),
        ("llama.cpp", "cuda", "not with"),
    ],
)
def test_extended_kv_cache_elsewhere_is_refused_with_the_reason(
    backend: str, framework: str, why: str
) -> None:
    with pytest.raises(CannotStart, match=f"extended_kv_cache: .*{why}"):
        line(backend, spec(extended_kv_cache=ExtendedKVCache(enabled=True)), start(framework))


def group_of(counts: Sequence[int], rank: int) -> Group:
    members = tuple(Member(f"10.0.0.{number}", count) for number, count in enumerate(counts, 1))
    return Group(members, rank, ports=(40001, 40002))


def test_vllm_across_workers_by_multiprocessing() -> None:
    wanted = spec("--distributed-executor-backend mp")

    primary = line("vLLM", wanted, start(gpus=4, group=group_of([4, 4], 0)))
    other = line("vLLM", wanted, start(gpus=4, group=group_of([4, 4], 1)))

    for made, rank in ((primary, "0"), (other, "1")):
        assert value_of(made.arguments, "--tensor-parallel-size") == "4"
        assert value_of(made.arguments, "--pipeline-parallel-size") == "2"
        assert value_of(made.arguments, "--nnodes") == "2"
        assert value_of(made.arguments, "--node-rank") == rank
        assert value_of(made.arguments, "--master-addr") == "10.0.0.1"
        assert value_of(made.arguments, "--master-port") == "40001"
        assert made.arguments.count("--distributed-executor-backend") == 1
    assert ("--headless" in primary.arguments, "--headless" in other.arguments) == (False, True)
    assert other.env["VLLM_HOST_IP"] == "10.0.0.2"


def test_vllm_across_workers_by_ray() -> None:
    primary = line("vLLM", spec(), start(gpus=4, group=group_of([4, 2], 0)))
    other = line("vLLM", spec(), start(gpus=2, group=group_of([4, 2], 1)))

    shell, _, script = primary.arguments
    head, _, server = script.partition(" && exec ")
    assert (shell, head) == (
        "sh",
        "ray start --head --port 40001 --ray-client-server-port 40002 --include-dashboard=false "
        "--node-ip-address 10.0.0.1 --num-gpus 4",
    )
    words = shlex.split(server)
    assert words[:3] == ["vllm", "serve", "/models/m"]
    assert value_of(words, "--distributed-executor-backend") == "ray"
    assert value_of(words, "--tensor-parallel-size") == "1"
    assert value_of(words, "--pipeline-parallel-size") == "6"
    assert primary.env["RAY_ADDRESS"] == "10.0.0.1:40001"
    assert other.arguments == (
        *("ray", "start", "--address", "10.0.0.1:40001", "--node-ip-address", "10.0.0.2"),
        *("--num-gpus", "2", "--block"),
    )


def test_vllm_has_ray_deal_out_copies_too() -> None:
    made = line("vLLM", spec("-tp 2 -dp 4"), start(gpus=4, group=group_of([4, 4], 0)))
    words = shlex.split(made.arguments[-1])
    assert value_of(words, "--data-parallel-backend") == "ray"
    assert value_of(words, "--data-parallel-size-local") == "2"
    said = line("vLLM", spec("-dp 4 -dpl 3 -dpb mp"), start(gpus=4, group=group_of([4, 4], 0)))
    words = shlex.split(said.arguments[-1])
    assert value_of(words, "--data-parallel-backend") is None
    assert value_of(words, "--data-parallel-size-local", "-dpl") == "3"


def test_sglang_across_workers() -> None:
    made = line("SGLang", spec(), start(gpus=8, group=group_of([8, 8], 1)))

    assert value_of(made.arguments, "--nnodes") == "2"
    assert value_of(made.arguments, "--node-rank") == "1"
    assert value_of(made.arguments, "--dist-init-addr") == "10.0.0.1:40001"
    assert (value_of(made.arguments, "--tp-size"), value_of(made.arguments, "--pp-size")) == ("8", "2")
    with pytest.raises(CannotStart, match="same number of devices"):
        line("SGLang", spec(), start(gpus=8, group=group_of([8, 4], 0)))


def test_mindie_reads_a_file_instead_of_flags() -> None:
    wanted = spec("--max-seq-len", "16384", "--trust-remote-code", "--npu-memory-fraction=0.7")

    made = line("MindIE", wanted, start("cann", gpus=2, group=group_of([2, 2], 1)))

    assert made.arguments == ("/usr/local/Ascend/mindie/latest/mindie-service/bin/mindieservice_daemon",)
    config = json.loads(made.files["mindie.json"])
    deploy = config["BackendConfig"]["ModelDeployConfig"]
    assert (deploy["maxSeqLen"], deploy["maxInputTokenLen"]) == (16384, 16384 - 512)
    assert deploy["ModelConfig"][0]["worldSize"] == 4
    assert deploy["ModelConfig"][0]["trustRemoteCode"] is True
    assert config["BackendConfig"]["npuDeviceIds"] == [[0, 1]]
    assert config["ServerConfig"]["port"] == 41234
    assert made.env["NPU_MEMORY_FRACTION"] == "0.7"
    assert made.env["MIES_CONFIG_JSON_PATH"] == "/run/17/0/mindie.json"
    table = json.loads(made.files["ranktable.json"])
    assert [device["rank_id"] for server in table["server_list"] for device in server["device"]] == list(
        "0123"
    )
    with pytest.raises(CannotStart, match="--tensor-split: MindIE has"):
        line("MindIE", spec("--tensor-split", "1"), start("cann"))
    with pytest.raises(CannotStart, match="--max-seq-len: needs one whole number"):
        line("MindIE", spec("--max-seq-len", "many"), start("cann"))


def test_voxbox_and_llama_cpp() -> None:
    assert line("VoxBox", spec(), start()).arguments[-2:] == ("--device", "cuda:0")
    claim = Claim(vram_bytes={"cuda:0": 1, "cuda:1": 1}, offload_layers=20, tensor_split=(3, 1))
    made = line("llama.cpp", spec("-c 512"), start(claim=claim))
    assert made.arguments[1:4] == ("-m", "modelyard_worker_agent.launchers.llama_cpp", "--model")
    assert value_of(made.arguments, "--report") == "/run/17/0/report.json"
    assert made.injected == ("--n-gpu-layers", "20", "--tensor-split", "3,1")
    contained = line("llama.cpp", spec(), start("cpu"), in_container=True)
    assert contained.arguments[0] == "/app/llama-server"


def test_a_custom_command_is_filled_in_and_never_split_by_what_is_filled_in() -> None:
    wanted = spec(
        "--extra 1",
        run_command="serve '{{model_path}}' --on {{worker_ip}}:{{ port }} \\\n --gpus {{gpu_count}} "
        "--ids {{gpu_ids}} --as {{model_name}} --mode {{MODE}}",
        env={"MODE": "fast and safe"},
    )

    made = line("Custom", wanted, start(gpus=2))

    assert made.arguments == (
        *("serve", "/models/m", "--on", "10.0.0.1:41234", "--gpus", "2", "--ids", "0,1"),
        *("--as", "chat", "--mode", "fast and safe", "--extra", "1"),
    )
    assert made.shown[-4:] == ("--mode", "{{MODE}}", "--extra", "1")
    assert "fast and safe" not in made.shown


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("serve {{colour}}", "{{colour}} is none of"),
        ("serve 'open", "No closing quotation"),
        (None, "is needed"),
    ],
)
def test_a_custom_command_that_cannot_be_filled_in_is_refused(command: str | None, why: str) -> None:
    with pytest.raises(CannotStart, match=f"run_command: .*{why}"):
        line("Custom", spec(run_command=command), start())


def test_a_container_without_a_command_runs_its_images_own() -> None:
    assert line("Custom", spec("--flag"), start(), in_container=True).arguments == ("--flag",)


def test_an_operators_backend_is_the_same_kind_of_data() -> None:
    backend = InferenceBackend(
        backend_name="tei-custom",
        default_version="1.8",
        default_run_command="text-embeddings-router --model-id {{model_path}} --port {{port}}",
        default_backend_param=("--max-batch-tokens 1024", "--auto-truncate"),
        default_env={"LEVEL": "info", "CACHE": "/c"},
        version_configs={"2.0": BackendVersion(run_command="tei2 {{model_path}}", env={"CACHE": "/c2"})},
        parameter_format="equal",
    )
    wanted = spec("--max-batch-tokens", "9", "--pooling cls", env={"LEVEL": "debug"})

    made = line(backend, wanted, start(version="1.8"))

    assert made.arguments[1:] == (
        *("--model-id", "/models/m", "--port", "41234"),
        *("--auto-truncate", "--max-batch-tokens=9", "--pooling=cls"),
    )
    assert made.env == {"LEVEL": "debug", "CACHE": "/c"}
    assert line(backend, wanted, start(version="2.0")).arguments[:2] == ("tei2", "/models/m")
    assert line(backend, wanted, start(version="2.0")).env["CACHE"] == "/c2"
    parted = backend.model_copy(update={"parameter_format": "space"})
    said = line(parted, spec("--a=1", "--b=-x", "-c=2"), start()).arguments
    assert said[-4:] == ("--a", "1", "--b=-x", "-c=2")
