"""Commands as a shell runs them, against a server of ours that answers as the api does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import free_port
from modelyard_cli.commands.events import line
from modelyard_cli_fake_api import KEY, FakeApi, event, instance, model, route, serving


@dataclass
class Shell:
    home: Path
    environment: dict[str, str]

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "modelyard_cli", *arguments],
            env={**os.environ, "HOME": str(self.home), **self.environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi(
        models=[model(1, "chat"), model(2, "chat-2", replicas=0, ready_replicas=0)],
        instances=[instance(7, "chat-abcde", 1), instance(8, "chat-fghij", 1, state="error")],
        events=[
            event(1, "DeploymentRequested"),
            event(2, "DeploymentScaled", replicas=0, previous_replicas=2),
        ],
        logs={7: "loaded\n", 9: "gone\n"},
    )
    with serving(fake):
        yield fake


@pytest.fixture
def shell(api: FakeApi, tmp_path: Path) -> Shell:
    return Shell(
        tmp_path,
        {
            "MODELYARD_URL": api.url,
            "MODELYARD_API_KEY": KEY,
            "MODELYARD_STATE_DIR": str(tmp_path / "none"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        },
    )


def test_deploy_sends_what_was_said_and_nothing_else(shell: Shell, api: FakeApi) -> None:
    shell.ok("deploy", "/models/a.gguf", "-p", "--ctx-size=8192", "--env", "A=1", "--replicas", "2")
    assert api.asked[-1] == (
        "POST",
        "/v2/models",
        {
            "name": "a",
            "replicas": 2,
            "restart_on_error": True,
            "generic_proxy": False,
            "source": "local_path",
            "local_path": "/models/a.gguf",
            "backend_parameters": ["--ctx-size=8192"],
            "env": {"A": "1"},
        },
    )


def test_a_refusal_is_one_sentence_on_standard_error(shell: Shell) -> None:
    done = shell.run("deploy", "/models/chat.gguf")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "modelyard: name: 'chat' is taken\n"


@pytest.mark.parametrize("fields", [{"failure_cause": "bad_argument"}, {"given_up": True}])
def test_waiting_ends_at_once_where_starting_again_does_not_help(
    shell: Shell, api: FakeApi, fields: dict[str, object]
) -> None:
    broken = instance(9, "new-abcde", 3, state="error", state_message="bad argument: --nope", **fields)
    api.instances.append(broken)
    done = shell.run("deploy", "/models/new.gguf", "--wait")
    assert done.returncode == 1
    assert "new does not run: new-abcde: error (bad argument: --nope)" in done.stderr


def test_lists_are_tables_or_json(shell: Shell) -> None:
    lines = shell.ok("ls").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATE", "SOURCE", "/", "WORKER"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["chat", "1/1", "ready"],
        ["chat-abcde", "-", "running"],
        ["chat-fghij", "-", "error"],
        ["chat-2", "0/0", "stopped"],
    ]
    assert [one["name"] for one in json.loads(shell.ok("ls", "instances", "-o", "json"))] == [
        "chat-abcde",
        "chat-fghij",
    ]
    assert [one["name"] for one in yaml.safe_load(shell.ok("ls", "-o", "yaml"))] == ["chat", "chat-2"]
    assert shell.ok("ls", "workers") == "There are no workers.\n"


def test_routes_tell_targets_from_instances(shell: Shell, api: FakeApi) -> None:
    api.kept["model-routes"] = [route(4, "prod", 1)]
    header, row = shell.ok("ls", "routes").splitlines()
    assert header.split() == ["ID", "NAME", "READY", "TARGETS", "GENERIC", "PROXY", "TARGETS"]
    assert row.split(maxsplit=4) == ["4", "prod", "1/1", "yes", "chat (1 of 1 instances)"]


def test_show_tells_how_a_deployment_stands_who_set_what_and_where_to_call_it(
    shell: Shell, api: FakeApi
) -> None:
    api.kept["model-routes"] = [route(4, "prod", 1), route(5, "other", 2)]
    meta = {"parameters": 135_000_000, "size": 3 << 30, "n_ctx": 2048, "architectures": ["llama"]}
    api.models[0].update(meta=meta, backend_parameters=["--ctx-size=512"])
    claim = {"ram": 1 << 29, "vram": {"0": 4 << 30}}
    api.instances[0].update(
        injected_backend_parameters=["--n-gpu-layers", "9"], computed_resource_claim=claim, gpu_type="cuda"
    )
    shown = shell.ok("show", "chat")
    for part in (
        "chat: ready, 1 of 1 instances run",
        "  source     /models/chat.gguf",
        "  model      llama, 135.0 M parameters, 3.0 GiB, context of 2048 tokens",
        "  parameter  --ctx-size=512  (set by its deployment)",
        "  parameter  --n-gpu-layers 9  (added by Modelyard to chat-abcde)",
        '  call it    POST the gateway:/v1/chat/completions with "model": "prod"',
        "  any path   the gateway:/model/proxy/4/...",
        "chat-abcde  running  vm      cuda:0 4.0 GiB, RAM 512.0 MiB  0         -",
    ):
        assert part in shown.splitlines()
    api.instances[0].update(state="pending", state_message="No suitable workers.\nvm has too little")
    assert "No suitable workers. vm has too little" in shell.ok("show", "chat")
    assert [one["name"] for one in yaml.safe_load(shell.ok("show", "chat", "-o", "yaml"))["instances"]] == [
        *("chat-abcde", "chat-fghij"),
    ]


def test_stop_start_and_scale_set_the_replicas(shell: Shell, api: FakeApi) -> None:
    for command, replicas in (
        ("stop chat", 0),
        ("start chat --replicas 1", 1),
        ("scale chat 3", 3),
        ("stop chat", 0),
    ):
        shell.ok(*command.split())
        assert api.asked[-1] == ("PUT", "/v2/models/1", {"replicas": replicas})


def test_start_gives_back_as_many_replicas_as_there_were(shell: Shell, api: FakeApi) -> None:
    shell.ok("start", "chat-2")
    assert api.asked[-1] == ("PUT", "/v2/models/2", {"replicas": 2})
    api.models[1].update(replicas=0)
    api.events.clear()
    shell.ok("start", "chat-2")
    assert api.asked[-1] == ("PUT", "/v2/models/2", {"replicas": 1})


def test_a_deployment_of_which_some_instances_run_is_partly_ready(shell: Shell, api: FakeApi) -> None:
    api.models[0].update(replicas=2)
    assert " partly ready " in shell.ok("ls")


def test_delete_takes_a_deployment_or_an_instance(shell: Shell, api: FakeApi) -> None:
    shell.ok("delete", "chat")
    assert api.asked[-1] == ("DELETE", "/v2/models/1", None)
    shell.ok("delete", "--instance", "chat-fghij")
    assert api.asked[-1] == ("DELETE", "/v2/model-instances/8", None)
    assert shell.run("delete").returncode == 2
    assert "There is no deployment 'nix'" in shell.run("delete", "nix").stderr


def test_logs_of_a_deployment_are_those_of_the_instance_that_runs(shell: Shell) -> None:
    assert shell.ok("logs", "chat") == "loaded\n"
    assert shell.ok("logs", "chat-abcde") == "loaded\n"
    assert shell.ok("logs", "9") == "gone\n"


def test_events_are_lines_or_cloud_events(shell: Shell) -> None:
    header, *shown = shell.ok("events").splitlines()
    assert header.split() == ["SEQ", "TIME", "EVENT", "SUBJECT", "SAID", "BY", "DATA"]
    assert [line.split()[2] for line in shown] == ["DeploymentRequested", "DeploymentScaled"]
    assert shown[1].endswith("user/1           replicas=0 previous_replicas=2")
    lines = shell.ok("events", "-o", "json").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]
    documents = yaml.safe_load_all(shell.ok("events", "-o", "yaml"))
    assert [one["sequence"] for one in documents] == [1, 2]


def test_an_event_shows_its_data_in_whole_words_and_counts_what_is_long() -> None:
    data = {"spec": {"a" * 50: 1, "b" * 50: 2}, "categories": ["llm"], "why": None, "text": "x\ny" * 100}
    shown = line(event(3, "DeploymentUpdated", **data))
    assert 'spec={2 fields} categories=["llm"] text=x y' in shown
    assert "deployment_id" not in shown
    assert "why" not in shown
    assert shown.endswith("…")


def test_where_there_are_no_events_it_is_said_on_standard_error(shell: Shell) -> None:
    done = shell.run("events", "--subject", "deployment/99", "--type", "InstanceFailed")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No event was found of deployment/99.\n"


def test_drain_says_beforehand_that_nobody_else_takes_what_is_there(shell: Shell, api: FakeApi) -> None:
    box = {"id": 1, "name": "box", "cluster_id": 1, "state": "ready", "maintenance": {"enabled": False}}
    api.kept["workers"] = [box]
    api.instances[0].update(worker_id=1)
    alone = shell.run("worker", "drain", "box")
    assert "No other worker takes instances: the 1 on box stay there" in alone.stderr
    assert api.asked[-1][1:] == (
        "/v2/workers/1",
        {"maintenance": {"enabled": True, "drain": True, "message": None}},
    )
    api.kept["workers"] = [box, {**box, "id": 2, "name": "other"}]
    assert shell.run("worker", "drain", "box").stderr == ""


def test_a_key_is_the_only_thing_on_standard_output(shell: Shell, api: FakeApi) -> None:
    assert shell.ok("keys", "create", "ci", "--expires-in", "30d", "--model", "chat") == f"{KEY}\n"
    assert api.asked[-1][2] == {"name": "ci", "expires_in": 2592000, "allowed_model_names": ["chat"]}
    assert shell.run("keys", "create", "ci", "--expires", "soon").returncode == 2
    shell.ok("keys", "create", "ci", "--scope", "inference")
    assert api.asked[-1][2] == {"name": "ci", "scope": ["inference"]}


def test_usage_is_asked_for_in_groups(api: FakeApi, shell: Shell) -> None:
    counts = ("requests", "failed", "in_flight", "tokens_in", "tokens_cached", "tokens_out")
    used = {name: 5 for name in counts} | {"mean_duration_s": 0.5, "mean_first_token_s": None}
    api.kept["usage"] = [{"day": "2026-01-01", "route_id": 3, "route_name": "chat", "name": "", **used}]
    shown = shell.ok("usage", "--by", "day", "--by", "route", "--since", "7d", "--key", "4")
    assert shown.splitlines()[1].split() == ["2026-01-01", "chat", *["5"] * 6, "0.5", "-"]
    asked = api.asked[-1][1]
    assert "group_by=day%2Croute" in asked
    assert "key_id=4" in asked
    assert shell.run("usage", "--since", "long").returncode == 2


def test_limits_that_are_not_given_stay(api: FakeApi, shell: Shell) -> None:
    limits = {"requests_per_minute": 60, "tokens_per_minute": 5, "concurrency": None, "tokens_per_day": None}
    api.kept["model-routes"] = [{"id": 3, "name": "chat", "limits": limits}]
    shown = shell.ok("limits", "route", "chat", "--concurrency", "4", "--tokens-per-minute", "0")
    assert api.asked[-1] == (
        "PUT",
        "/v2/model-routes/3/limits",
        {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": 4, "tokens_per_day": None},
    )
    assert [line.rsplit("  ", 1)[-1].strip() for line in shown.splitlines()[1:]] == [
        *("60", "any number", "4", "any number"),
    ]
    assert "No user is named" in shell.run("limits", "user", "nobody").stderr


def test_who_may_call_a_route_is_shown_and_said_by_name(api: FakeApi, shell: Shell) -> None:
    api.kept["model-routes"] = [{"id": 3, "name": "chat"}]
    api.kept["users"] = [{"id": 2, "username": "ann"}]
    shown = shell.ok("access", "chat", "users", "ann")
    said = {"access_policy": "allowed_principals", "users": [{"id": 2}]}
    assert ("POST", "/v2/model-routes/3/access", said) in api.asked
    assert shown.splitlines()[1].split("  ")[-1].strip() == "admins and ann"
    assert "No user is named 'bob'" in shell.run("access", "chat", "users", "bob").stderr
    assert "go with 'users'" in shell.run("access", "chat", "public", "ann").stderr


def test_a_login_is_kept(shell: Shell) -> None:
    address = shell.environment.pop("MODELYARD_URL")
    key = shell.environment.pop("MODELYARD_API_KEY")
    assert shell.run("ls", "--url", address).stderr.splitlines()[0] == "modelyard: no credential"
    shell.ok("login", address, "--api-key", key)
    assert "chat" in shell.ok("ls")


def test_no_api_at_all_says_what_to_do(shell: Shell) -> None:
    done = shell.run("ls", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "No api answers at" in done.stderr
    assert "modelyard up" in done.stderr


def test_services_show_their_own_settings(shell: Shell) -> None:
    for service, flag in (
        ("api", "--join-token"),
        ("scheduler", "--restart-base-s"),
        ("gateway", "--retry-after-s"),
        ("worker", "--worker-state"),
    ):
        assert flag in shell.ok(service, "--help")


def test_a_bad_setting_of_a_service_is_exit_2(shell: Shell) -> None:
    done = shell.run("gateway", "--port", "many")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_asyncapi_document_is_json(shell: Shell) -> None:
    assert "DeploymentRequested" in json.loads(shell.ok("asyncapi"))["channels"]


def test_models_are_looked_at_by_the_api(shell: Shell, api: FakeApi) -> None:
    refused = shell.run("inspect", "/models/a b.gguf")
    assert "/v2/model-sources/local ['/models/a b.gguf']" in refused.stderr
    shell.run("inspect", "org/a", "--source", "modelscope", "--file", "*Q4*")
    assert api.asked[-1][1] == "/v2/model-sources/modelscope/models/org/a?file=%2AQ4%2A"
    shell.run("search", "qwen", "--sort", "likes", "--format", "gguf")
    asked = api.asked[-1][1]
    assert asked == "/v2/model-sources/huggingface/search?search=qwen&sort=likes&page=1&format=gguf"


def test_a_hubs_token_comes_from_standard_input_and_is_never_shown(api: FakeApi, shell: Shell) -> None:
    kept = shell.run("hub-token", "set", "huggingface", text="hf_mine\n")

    assert kept.returncode == 0, kept.stderr
    assert api.asked[-1] == ("PUT", "/v2/users/me/hub-tokens/huggingface", {"token": "hf_mine"})
    listed = shell.ok("hub-token", "list")
    assert [line.split() for line in listed.splitlines()[1:]] == [
        ["huggingface", "kept"],
        ["modelscope", "none"],
    ]
    assert "hf_mine" not in kept.stdout + kept.stderr + listed
    shell.ok("hub-token", "delete", "huggingface")
    assert api.asked[-1][:2] == ("DELETE", "/v2/users/me/hub-tokens/huggingface")
    nothing = shell.run("hub-token", "set", "modelscope", text="")
    assert nothing.returncode == 2
    assert "no token" in nothing.stderr
