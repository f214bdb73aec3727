"""The scheduler's picture of the cluster: the fold of the whole log.

The values in it are immutable; only `apply` puts new ones in their place. A decision reads it without
awaiting in between, so it sees one moment. Removed instances are dropped (the log keeps them), except
those whose worker was gone: their model server may still run there (`leftovers`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.base import Aggregate
from modelyard_contracts.companions import adapter_at, draft_at
from modelyard_contracts.deployments import Claim, DeploymentSpec, Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    DeploymentFileChosen,
    InferenceBackendDefined,
    InferenceBackendDeleted,
    InstanceRequested,
    InstanceScheduled,
    ModelInspected,
    UserDeleted,
    UserEvent,
    UserHubTokenChanged,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
    WorkerDiskRoomChanged,
)
from modelyard_contracts.models import (
    ModelCoordinates,
    ModelFacts,
    at_file,
    coordinates_of,
    with_file,
)
from modelyard_contracts.parameters import BadParameters
from modelyard_models.beside import Beside
from modelyard_placement.demand import Demand, PathSaid, backend_for, unread
from modelyard_placement.index import Index
from modelyard_placement.picture import Holding, WorkerView
from modelyard_placement.picture import Picture as Cluster

from modelyard_scheduler.domain import deployment, fleet, instance, model_file, worker
from modelyard_scheduler.domain.deployment import DeploymentFact, DeploymentState
from modelyard_scheduler.domain.disks import Disks
from modelyard_scheduler.domain.fleet import FleetState
from modelyard_scheduler.domain.instance import (
    UNPLACED,
    WORKER_GONE,
    InstanceFact,
    InstanceState,
    Phase,
    homes,
)
from modelyard_scheduler.domain.model_file import ModelFileFact, ModelFileState
from modelyard_scheduler.domain.views import demand as demand_for
from modelyard_scheduler.domain.views import worker_view
from modelyard_scheduler.domain.worker import WorkerFact, WorkerPhase, WorkerState

_Asked = tuple[Beside, int, str | None]
"""What else a demand depends on: what runs along, the replicas, and the file that was chosen."""


class Choice(NamedTuple):
    """The GGUF model that a deployment serves which named none."""

    spec_seq: int
    file: str
    seq: int


class Picture:
    def __init__(self) -> None:
        self.position = 0
        """The sequence of the last event in it."""
        self.deployments: dict[int, DeploymentState] = {}
        self.instances: dict[int, InstanceState] = {}
        self.leftovers: dict[int, InstanceState] = {}
        self.workers: dict[int, WorkerState] = {}
        self.models: dict[str, ModelFacts] = {}
        """What is known of models, by `ModelCoordinates.model_id`."""
        self.choices: dict[int, Choice] = {}
        """By deployment."""
        self.model_files: dict[int, ModelFileState] = {}
        self.hub_tokens: dict[tuple[str, Source], str] = {}
        """Sealed, by the actor who keeps them and the hub they are for."""
        self.fleet = FleetState()
        self.backends: dict[str, InferenceBackend] = {}
        """Inference backends as they are defined now, by name."""
        self.rooms = Index()
        """What is free on each worker."""
        self.highest_instance_id = 0
        self.disks = Disks()
        self._of_deployment: dict[int, set[int]] = defaultdict(set)
        self._on_worker: dict[int, set[int]] = defaultdict(set)
        self._unplaced: set[int] = set()
        self._demands: dict[int, tuple[DeploymentSpec, ModelFacts | None, _Asked, Demand]] = {}

    def instances_of(self, deployment_id: int) -> list[InstanceState]:
        """By id, the oldest first."""
        return [self.instances[ident] for ident in sorted(self._of_deployment.get(deployment_id, ()))]

    def instances_on(self, worker_id: int) -> list[InstanceState]:
        return [self.instances[ident] for ident in sorted(self._on_worker.get(worker_id, ()))]

    def facts_of(self, state: InstanceState) -> ModelFacts | None:
        """None: its model was not inspected yet."""
        return self.facts_at(self.coordinates(state)) or self.facts_at(coordinates_of(state.spec))

    def coordinates(self, state: InstanceState) -> ModelCoordinates:
        """Where its model is looked at: where the spec says, unless another of the GGUF models there was
        chosen than that look was about."""
        said, file = coordinates_of(state.spec), self.file_of(state)
        facts = self.facts_at(said)
        return said if file is None or facts is None or facts.file == file else at_file(said, file)

    def file_of(self, state: InstanceState) -> str | None:
        """The GGUF model that was chosen for it; None: what its spec names."""
        if state.phase not in UNPLACED:
            return state.model_file
        choice = self.choices.get(state.deployment_id)
        return choice.file if choice is not None and choice.spec_seq == state.spec_seq else None

    def facts_at(self, coordinates: ModelCoordinates | None) -> ModelFacts | None:
        return None if coordinates is None else self.models.get(coordinates.model_id())

    def backend_of(self, spec: DeploymentSpec) -> InferenceBackend | None:
        """As it is defined now; None where the deployment names none and its model was not inspected yet."""
        if spec.backend is not None:
            return self.backends.get(spec.backend)
        model = self.facts_at(coordinates_of(spec))
        return None if model is None else self.backends.get(backend_for(spec, model))

    def beside(self, spec: DeploymentSpec) -> Beside:
        """What is known of its adapters and its draft model."""
        return Beside(
            adapters=tuple(self.facts_at(adapter_at(spec, one)) or unread(one) for one in spec.lora_list),
            draft=self.facts_at(draft_at(spec)),
        )

    def demand(self, state: InstanceState, paths: Mapping[int, PathSaid] | None) -> Demand:
        """What the instance asks of a place. Raises `BadParameters`."""
        deployment = self.deployments.get(state.deployment_id)
        replicas = max(1, deployment.replicas if deployment else 1)
        model, file = self.facts_of(state), self.file_of(state)
        asked = (self.beside(state.spec), replicas, file)
        known = self._demands.get(state.deployment_id)
        if known is None or known[0] is not state.spec or known[1] is not model or known[2] != asked:
            of_file = state._replace(spec=with_file(state.spec, file)) if file else state
            known = state.spec, model, asked, demand_for(of_file, model, asked[0], replicas)
            self._demands[state.deployment_id] = known
        return replace(known[3], paths=paths)

    def holding(self, instance_id: int, worker_id: int, claim: Claim) -> Holding:
        """What the instance takes of a worker that has its room."""
        state = self.instances.get(instance_id)
        if state is None:
            return Holding(instance_id, None, worker_id, claim)
        try:
            return self.demand(state, None).holding(instance_id, worker_id, claim)
        except BadParameters:
            return Holding(instance_id, state.deployment_id, worker_id, claim)

    def unplaced(self) -> list[InstanceState]:
        return [self.instances[ident] for ident in sorted(self._unplaced)]

    def apply(self, recorded: Recorded[Any]) -> None:
        aggregate, ident = recorded.aggregate()
        match aggregate:
            case Aggregate.DEPLOYMENT:
                self._apply_deployment(int(ident), recorded)
            case Aggregate.INSTANCE:
                self._apply_instance(int(ident), recorded)
            case Aggregate.WORKER:
                self._apply_worker(int(ident), recorded)
            case Aggregate.MODEL:
                inspected: ModelInspected = recorded.data
                self.models[ident] = inspected.facts
            case Aggregate.CHOICE:
                chosen: DeploymentFileChosen = recorded.data
                self.choices[int(ident)] = Choice(chosen.spec_seq, chosen.file, recorded.seq)
            case Aggregate.MODEL_FILE:
                self._apply_model_file(int(ident), recorded)
            case Aggregate.USER:
                self._apply_user(recorded.data)
            case Aggregate.FLEET:
                self.fleet = fleet.evolve(self.fleet, recorded)
            case Aggregate.BACKEND:
                self._apply_backend(recorded.data)
            case _:
                pass
        self.position = recorded.seq

    def _apply_backend(self, fact: InferenceBackendDefined | InferenceBackendDeleted) -> None:
        match fact:
            case InferenceBackendDefined():
                self.backends[fact.backend.backend_name] = fact.backend
            case InferenceBackendDeleted():
                self.backends.pop(fact.name, None)

    def _apply_user(self, fact: UserEvent) -> None:
        """All that matters here of people is what they show to hubs."""
        actor = f"user/{fact.user_id}"
        match fact:
            case UserHubTokenChanged(hub=hub, sealed_token=str(token)):
                self.hub_tokens[actor, hub] = token
            case UserHubTokenChanged(hub=hub):
                self.hub_tokens.pop((actor, hub), None)
            case UserDeleted():
                for hub in Source:
                    self.hub_tokens.pop((actor, hub), None)
            case _:
                pass

    def _apply_model_file(self, ident: int, recorded: Recorded[ModelFileFact]) -> None:
        token = self.hub_tokens.get((recorded.actor, recorded.data.model.source))
        state = model_file.evolve(self.model_files.get(ident), recorded, token)
        self.model_files[ident] = state
        worker = self.workers.get(state.worker_id)
        changed = self.disks.follow(state)
        if changed and worker is not None and worker.phase is not WorkerPhase.DELETED:
            self.rooms.put_worker(self._view(worker))

    def _apply_deployment(self, ident: int, recorded: Recorded[DeploymentFact]) -> None:
        state = deployment.evolve(self.deployments.get(ident), recorded)
        if state is not None:
            self.deployments[ident] = state
            self._drop_if_over(ident)

    def _apply_worker(self, ident: int, recorded: Recorded[WorkerFact]) -> None:
        state = worker.evolve(self.workers.get(ident), recorded)
        if state is None:
            return
        if state.phase is WorkerPhase.DELETED and not state.reservations:
            self.workers.pop(ident, None)
        else:
            self.workers[ident] = state
        self._follow(state, recorded.data)

    def _follow(self, state: WorkerState, fact: WorkerFact) -> None:
        """Keeps the rooms as the workers are."""
        match fact:
            case WorkerDevicesReserved():
                self.rooms.take(self.holding(fact.instance_id, state.worker_id, fact.claim))
            case WorkerDevicesReleased():
                self.rooms.give_back(state.worker_id, fact.instance_id)
            case _ if state.phase is WorkerPhase.DELETED:
                self.rooms.remove_worker(state.worker_id)
            case WorkerDiskRoomChanged():
                self.disks.measured(state.worker_id)
                self.rooms.put_worker(self._view(state))
            case _:
                self.rooms.put_worker(self._view(state))

    def _view(self, worker: WorkerState) -> WorkerView:
        ident = worker.worker_id
        return worker_view(worker, self.disks.there_on(ident), self.disks.counted_on(ident))

    def _apply_instance(self, ident: int, recorded: Recorded[InstanceFact]) -> None:
        before = self.instances.get(ident)
        state = instance.evolve(before, recorded)
        self.highest_instance_id = max(self.highest_instance_id, ident)
        if state is None:
            return
        if state.phase is Phase.REMOVED:
            self._drop(state)
            return
        if isinstance(recorded.data, InstanceRequested):
            state = self._with_shared_spec(state)
        if before is not None and isinstance(recorded.data, InstanceScheduled):
            state = state._replace(model_file=self.file_of(before))
        self.instances[ident] = state
        self._note(state)

    def _note(self, state: InstanceState) -> None:
        ident = state.instance_id
        self._of_deployment[state.deployment_id].add(ident)
        for worker_id in homes(state):
            self._on_worker[worker_id].add(ident)
        if state.phase in UNPLACED:
            self._unplaced.add(ident)
        else:
            self._unplaced.discard(ident)

    def reindex(self, holdings: Iterable[Holding]) -> None:
        """Makes what follows from the rest, where the rest was put in from a snapshot."""
        self.disks.reindex(self.model_files.values())
        for state in self.instances.values():
            self._note(state)
        views = [
            self._view(state) for state in self.workers.values() if state.phase is not WorkerPhase.DELETED
        ]
        self.rooms = Index(Cluster(tuple(views), tuple(holdings)))

    def _with_shared_spec(self, state: InstanceState) -> InstanceState:
        """Thousands of replicas share one spec."""
        deployment = self.deployments.get(state.deployment_id)
        if deployment is None or deployment.spec != state.spec:
            return state
        return state._replace(spec=deployment.spec)

    def _drop(self, state: InstanceState) -> None:
        ident = state.instance_id
        self.instances.pop(ident, None)
        self._unplaced.discard(ident)
        self._of_deployment[state.deployment_id].discard(ident)
        for worker_id in homes(state):
            self._on_worker[worker_id].discard(ident)
        if state.worker_id is not None and state.leaves_because in WORKER_GONE:
            self.leftovers[ident] = state
        self._drop_if_over(state.deployment_id)

    def ended(self, instance_id: int, worker_id: int) -> None:
        """Nothing is left of a leftover on that worker."""
        state = self.leftovers.pop(instance_id, None)
        if state is None:
            return
        state = instance.ended(state, worker_id)
        if not state.ended_on.issuperset(homes(state)):
            self.leftovers[instance_id] = state

    def _drop_if_over(self, deployment_id: int) -> None:
        """Forgets a deleted deployment once its last instance is gone."""
        state = self.deployments.get(deployment_id)
        if state is not None and state.deleted and not self._of_deployment.get(deployment_id):
            del self.deployments[deployment_id]
            self._demands.pop(deployment_id, None)
            self.choices.pop(deployment_id, None)
            self._of_deployment.pop(deployment_id, None)
