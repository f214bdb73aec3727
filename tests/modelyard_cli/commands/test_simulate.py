import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GIB = 1024**3
CLUSTER: dict[str, Any] = {
    "workers": [
        {
            "name": name,
            "state": "ready",
            "cluster_id": 1,
            "status": {
                "memory": {"total": 128 * GIB},
                "gpu_devices": [
                    {
                        "vendor": "nvidia",
                        "type": "cuda",
                        "index": index,
                        "name": "A100",
                        "compute_capability": "8.0",
                        "memory": {"total": 80 * GIB, "used": 0},
                    }
                    for index in (0, 1)
                ],
            },
        }
        for name in ("a", "b")
    ]
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}


def workload(replicas: int = 2, **fields: Any) -> dict[str, Any]:
    deployment = {
        "name": "chat",
        "source": "huggingface",
        "huggingface_repo_id": "org/llama",
        "backend": "vLLM",
        "replicas": replicas,
        "metadata": {"config": CONFIG, "weight_bytes": 16 * GIB},
        **fields,
    }
    return {"deployments": [deployment]}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def run(cluster: object, workload: object, *options: str) -> subprocess.CompletedProcess[str]:
        for name, value in (("cluster", cluster), ("workload", workload)):
            text = value if isinstance(value, str) else json.dumps(value)
            (tmp_path / f"{name}.json").write_text(text)
        files = ("--cluster", "cluster.json", "--workload", "workload.json")
        return subprocess.run(
            [sys.executable, "-m", "modelyard_cli", "simulate", *files, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_what_fits_is_told_with_its_claim(run: Any) -> None:
    done = run(CLUSTER, workload(), "--output", "json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["instances"]
    assert (first["deployment"], first["instance"]) == ("chat", "chat-1")
    assert first["placement"]["worker"] == "a"
    assert first["placement"]["gpu_type"] == "cuda"
    assert first["placement"]["gpu_indexes"] == [0]
    assert list(first["placement"]["vram"]) == ["0"]
    assert first["candidates"][0]["score"] > first["candidates"][1]["score"] - 1e-9
    assert second["placement"]["worker"] == "b"


def test_what_does_not_fit_is_told_with_the_numbers_and_status_3(run: Any) -> None:
    done = run(CLUSTER, workload(5), "--output", "json")
    assert done.returncode == 3, done.stderr
    last = json.loads(done.stdout)["instances"][-1]
    assert {reason["device"] for reason in last["unschedulable"]} == {"cuda:0", "cuda:1"}
    for reason in last["unschedulable"]:
        assert reason["check"] == "vram"
        assert reason["needed"] > reason["available"]


def test_people_get_a_table_and_the_reasons(run: Any) -> None:
    done = run(CLUSTER, workload(5))
    assert done.returncode == 3
    assert "does not fit" in done.stdout
    assert "cuda:0 of a has" in done.stdout
    assert "VRAM in use" in done.stdout
    assert "Placing 5 instances on 2 workers" in done.stderr


def test_a_drained_worker_gives_its_instances_to_others(run: Any) -> None:
    held = {
        "name": "old-abcde",
        "model_name": "old",
        "worker_name": "a",
        "gpu_type": "cuda",
        "gpu_indexes": [0],
        "state": "running",
        "computed_resource_claim": {"ram": GIB, "vram": {"0": 40 * GIB}},
    }
    done = run({**CLUSTER, "instances": [held]}, workload(1), "--drain", "a", "--output", "json")
    assert done.returncode == 0, done.stderr
    moved, new = json.loads(done.stdout)["instances"]
    assert (moved["instance"], moved["moved_from"], moved["placement"]["worker"]) == ("old-abcde", "a", "b")
    assert new["placement"]["worker"] == "b"


def test_policies_are_compared(run: Any) -> None:
    done = run(CLUSTER, workload(2), "--policy", "binpack", "--output", "json")
    view = json.loads(done.stdout)
    assert [one["placement"]["worker"] for one in view["instances"]] == ["a", "a"]
    assert view["figures"]["after"]["idle_workers"] == 1
    assert view["figures"]["as_asked"]["idle_workers"] == 0


@pytest.mark.parametrize(
    ("cluster", "work", "options", "message"),
    [
        ("{", workload(), (), "cluster.json: is not valid JSON"),
        ({}, workload(), (), "cluster.json: workers: is missing"),
        (
            {"workers": [{"name": "a", "status": {"memory": {"total": -1}}}]},
            workload(),
            (),
            "cluster.json: workers.0.status.memory.total: must be greater than or equal to 0",
        ),
        ({"workers": [{"name": "a"}, {"name": "a"}]}, workload(), (), "two of them are called 'a'"),
        (CLUSTER, {}, (), "workload.json: deployments: must be a list"),
        (CLUSTER, workload(replicas=-1), (), "workload.json: deployments.0.replicas: must be"),
        (
            CLUSTER,
            workload(no_such_field=1),
            (),
            "workload.json: deployments.0.no_such_field: is not a field",
        ),
        (
            CLUSTER,
            workload(metadata={"config": {}}),
            (),
            "workload.json: deployments.0.metadata.weight_bytes: is missing",
        ),
        (
            CLUSTER,
            workload(backend_parameters=["--x 'y"]),
            (),
            "workload.json: deployments.0.backend_parameters:",
        ),
        (CLUSTER, workload(), ("--drain", "z"), "no worker is called 'z'"),
        (
            {**CLUSTER, "instances": [{"name": "x-1", "worker_name": "z"}]},
            workload(),
            (),
            "instances.0.worker_name: no worker is called 'z'",
        ),
    ],
)
def test_bad_input_is_told_by_file_and_field(
    run: Any, cluster: object, work: object, options: tuple[str, ...], message: str
) -> None:
    done = run(cluster, work, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_told(run: Any) -> None:
    done = run(CLUSTER, workload(), "--cluster", "other.json")
    assert done.returncode == 2
    assert "other.json: No such file" in done.stderr
