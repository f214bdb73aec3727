"""The backends that come with Modelyard. Images are those that the projects themselves publish."""

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.deployments import Backend

VLLM = InferenceBackend(
    backend_name=Backend.VLLM,
    default_version="0.32.0",
    images={
        "cuda": "vllm/vllm-openai:v{{version}}",
        "rocm": "vllm/vllm-openai-rocm:v{{version}}",
        "cann": "quay.io/ascend/vllm-ascend:v{{version}}",
        "cpu": "vllm/vllm-openai-cpu:v{{version}}",
    },
    default_run_command="vllm serve {{model_path}} --host {{host}} --port {{port}} "
    "--served-model-name {{model_name}}",
    version_command="vllm --version",
    health_check_path="/health",
    common_parameters=(
        "--max-model-len",
        "--gpu-memory-utilization",
        "--max-num-seqs",
        "--tensor-parallel-size",
        "--pipeline-parallel-size",
        "--dtype",
        "--quantization",
        "--kv-cache-dtype",
        "--enforce-eager",
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "--reasoning-parser",
        "--trust-remote-code",
        "--hf-overrides",
    ),
    description="vLLM: high throughput for language, embedding and multimodal models.",
)

SGLANG = InferenceBackend(
    backend_name=Backend.SGLANG,
    default_version="0.5.23",
    images={
        "cuda": "lmsysorg/sglang:v{{version}}",
        "rocm": "lmsysorg/sglang:v{{version}}-rocm700-mi30x",
    },
    default_run_command="python3 -m sglang.launch_server --model-path {{model_path}} --host {{host}} "
    "--port {{port}} --served-model-name {{model_name}}",
    version_command="python3 -c 'import sglang; print(sglang.__version__)'",
    health_check_path="/health",
    container_port=30000,
    common_parameters=(
        "--context-length",
        "--mem-fraction-static",
        "--tp-size",
        "--pp-size",
        "--max-running-requests",
        "--dtype",
        "--quantization",
        "--kv-cache-dtype",
        "--tool-call-parser",
        "--reasoning-parser",
        "--trust-remote-code",
    ),
    description="SGLang: structured generation and prefix reuse for language models.",
)

MINDIE = InferenceBackend(
    backend_name=Backend.MINDIE,
    default_version="2.1.RC2",
    images={
        "cann": "swr.cn-south-1.myhuaweicloud.com/ascendhub/"
        "mindie:{{version}}-800I-A2-py311-openeuler24.03-lts"
    },
    default_run_command="/usr/local/Ascend/mindie/latest/mindie-service/bin/mindieservice_daemon",
    health_check_path="/info",
    container_port=1025,
    common_parameters=(
        "--max-seq-len",
        "--max-input-token-len",
        "--max-prefill-tokens",
        "--max-batch-size",
        "--cpu-mem-size",
        "--npu-memory-fraction",
        "--trust-remote-code",
    ),
    description="MindIE: language models on Ascend.",
)

VOXBOX = InferenceBackend(
    backend_name=Backend.VOXBOX,
    default_version="0.0.21",
    images={"cuda": "gpustack/vox-box:{{version}}", "cpu": "gpustack/vox-box:{{version}}-cpu"},
    default_run_command="vox-box start --model {{model_path}} --host {{host}} --port {{port}}",
    version_command="vox-box version",
    health_check_path="/health",
    container_port=80,
    description="VoxBox: speech to text and text to speech.",
)

LLAMA_CPP = InferenceBackend(
    backend_name=Backend.LLAMA_CPP,
    images={
        "cuda": "ghcr.io/ggml-org/llama.cpp:server-cuda",
        "rocm": "ghcr.io/ggml-org/llama.cpp:server-rocm",
        "musa": "ghcr.io/ggml-org/llama.cpp:server-musa",
        "cpu": "ghcr.io/ggml-org/llama.cpp:server",
    },
    default_run_command="/app/llama-server --model {{model_path}} --host {{host}} --port {{port}} "
    "--alias {{model_name}}",
    process_command="{{python}} -m modelyard_worker_agent.launchers.llama_cpp --model {{model_path}} "
    "--host {{host}} --report {{report}} --alias {{model_name}}",
    version_command="{{python}} -c \"import importlib.metadata as m; print(m.version('xllamacpp'))\"",
    health_check_path="/health",
    container_port=8080,
    common_parameters=(
        "--ctx-size",
        "--parallel",
        "--n-gpu-layers",
        "--threads",
        "--embedding",
        "--reranking",
    ),
    description="llama.cpp: GGUF models on GPUs, on CPUs, or on both.",
)

CUSTOM = InferenceBackend(
    backend_name=Backend.CUSTOM,
    description="An image and a command of the deployment's own.",
)

BUILT_IN: dict[str, InferenceBackend] = {
    backend.backend_name: backend for backend in (VLLM, SGLANG, MINDIE, VOXBOX, LLAMA_CPP, CUSTOM)
}
