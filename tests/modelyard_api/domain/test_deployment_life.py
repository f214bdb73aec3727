"""Any wishes in any order: what a deployment becomes follows from its facts alone."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modelyard_api.domain.deployment import (
    MASK,
    Deployment,
    decide_delete,
    decide_update,
    evolve,
    requested,
)
from modelyard_contracts.base import Event
from modelyard_contracts.commands import DeploymentCreate, DeploymentUpdate
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import RouteDeleted

ENV = st.dictionaries(st.sampled_from("AB"), st.sampled_from(["one", "two"]), max_size=2)
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["chat", "talk"]),
        "replicas": st.integers(0, 3),
        "backend_parameters": st.lists(st.sampled_from(["--a", "--b"]), max_size=2),
        "restart_on_error": st.booleans(),
        "description": st.sampled_from([None, "words"]),
        "env": ENV,
    },
)


def seal(text: str) -> str:
    return f"<{text}>"


def same(sealed: str, clear: str) -> bool:
    return sealed == seal(clear)


class DeploymentLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Recorded[Any]] = []
        self.state: Deployment | None = None
        self.wished: dict[str, Any] = {}

    def keep(self, event: Event) -> None:
        seq = len(self.log) + 1
        self.log.append(
            Recorded(
                seq=seq,
                id=f"c/{seq}",
                type=type(event).__name__,
                source="test",
                subject="deployment/1",
                time=datetime(2026, 1, 1, tzinfo=UTC),
                version=event.version,
                actor="user/1",
                correlation_id="story",
                causation_id="why",
                traceparent=None,
                data=event,
            )
        )
        self.state = evolve(self.state, self.log[-1])

    @initialize(env=ENV)
    def somebody_wants_it(self, env: dict[str, str]) -> None:
        command = DeploymentCreate(name="chat", source="local_path", local_path="/m/a.gguf", env=env)
        self.keep(requested(command, deployment_id=1, cluster_id=1, seal=seal))
        self.wished = {"name": "chat", "replicas": 1, "env": env}

    @precondition(lambda self: self.state is not None and not self.state.deleted)
    @rule(wish=WISHES)
    def somebody_changes_it(self, wish: dict[str, Any]) -> None:
        assert self.state is not None
        command = DeploymentUpdate(**wish)
        for event in decide_update(command, self.state, seal=seal, same=same):
            self.keep(event)
        self.wished |= wish
        again = decide_update(command, self.state, seal=seal, same=same)
        assert again == [], "the same wish a second time is no change"

    @precondition(lambda self: self.state is not None and not self.state.deleted)
    @rule()
    def somebody_sends_back_what_they_were_shown(self) -> None:
        assert self.state is not None
        shown = DeploymentUpdate(env=dict.fromkeys(self.state.spec.env, MASK), name=self.state.name)
        assert decide_update(shown, self.state, seal=seal, same=same) == []

    @precondition(lambda self: self.state is not None and not self.state.deleted)
    @rule()
    def somebody_deletes_it(self) -> None:
        assert self.state is not None
        self.keep(decide_delete(self.state))
        assert self.state.deleted

    @rule()
    def something_else_happens(self) -> None:
        before = self.state
        self.keep(RouteDeleted(route_id=1, name="chat"))
        assert self.state == before

    @invariant()
    def replaying_the_log_gives_the_same_state(self) -> None:
        state: Deployment | None = None
        for recorded in self.log:
            state = evolve(state, recorded)
        assert state == self.state

    @invariant()
    def it_is_what_was_wished_for(self) -> None:
        if self.state is not None:
            assert (self.state.name, self.state.replicas) == (self.wished["name"], self.wished["replicas"])
            assert self.state.spec.env == {key: seal(value) for key, value in self.wished["env"].items()}

    @invariant()
    def no_fact_holds_a_secret_in_the_clear(self) -> None:
        for recorded in self.log:
            spec = getattr(recorded.data, "spec", None)
            assert spec is None or all(value.startswith("<") for value in spec.env.values())


DeploymentLife.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestDeploymentLife = DeploymentLife.TestCase
