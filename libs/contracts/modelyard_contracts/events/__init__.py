"""Every fact Modelyard keeps. Past tense, one class each; `EVENT_TYPES` at the end is the whole list.

`owner` names the one service whose code constructs the event. Agents hand theirs to the observation
stream, and the scheduler admits them to the log after checking them (`docs/decisions/`).
"""

from modelyard_contracts.base import Event
from modelyard_contracts.events.accounts import (
    ApiKeyCreated,
    ApiKeyEvent,
    ApiKeyRevoked,
    UserCreated,
    UserDeleted,
    UserEvent,
    UserHubTokenChanged,
    UserPasswordChanged,
)
from modelyard_contracts.events.backends import (
    InferenceBackendDefined,
    InferenceBackendDeleted,
    InferenceBackendEvent,
)
from modelyard_contracts.events.clusters import ClusterCreated
from modelyard_contracts.events.deployments import (
    DeploymentDeleted,
    DeploymentEvent,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentUpdated,
)
from modelyard_contracts.events.fleet import FleetEvent, FleetStormDetected, FleetStormEnded
from modelyard_contracts.events.instances import (
    AgentInstanceEvent,
    Decision,
    FailureCause,
    Held,
    InstanceDeletionRequested,
    InstanceDownloading,
    InstanceEvent,
    InstanceFailed,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceMemoryMeasured,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    InstanceUnready,
    InstanceUnschedulable,
    PathsSaid,
    SourceSaid,
    StopReason,
)
from modelyard_contracts.events.limits import (
    ApiKeyLimitsChanged,
    RouteLimitsChanged,
    UserLimitsChanged,
)
from modelyard_contracts.events.model_files import (
    ModelFileDeleted,
    ModelFileDeletionRequested,
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvent,
    ModelFileEvicted,
    ModelFileFailed,
    ModelFileRequested,
    model_file_id,
)
from modelyard_contracts.events.models import DeploymentFileChosen, ModelInspected, model_number
from modelyard_contracts.events.names import NameClaimed, NameEvent, NameReleased, name_id
from modelyard_contracts.events.providers import (
    ProviderChanged,
    ProviderCreated,
    ProviderDeleted,
    ProviderEvent,
)
from modelyard_contracts.events.routes import (
    Affinity,
    FallbackStatus,
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteEvent,
    RouteOptions,
    RouteTarget,
)
from modelyard_contracts.events.workers import (
    WorkerDeleted,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
    WorkerDiskRoomChanged,
    WorkerEvent,
    WorkerForeignMemoryChanged,
    WorkerInventoryChanged,
    WorkerLabelsChanged,
    WorkerLost,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
    WorkerRegistered,
    WorkerSilent,
)

EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        DeploymentRequested,
        DeploymentUpdated,
        DeploymentScaled,
        DeploymentDeleted,
        InstanceRequested,
        InstanceScheduled,
        InstanceUnschedulable,
        InstanceRestartScheduled,
        InstanceDeletionRequested,
        InstanceStopping,
        InstanceRemoved,
        InstanceDownloading,
        InstanceStarting,
        InstanceRunning,
        InstanceUnready,
        InstanceMemberPrepared,
        InstanceMemberStarted,
        InstanceMemoryMeasured,
        InstanceFailed,
        InstanceStopped,
        WorkerRegistered,
        WorkerLabelsChanged,
        WorkerMaintenanceChanged,
        WorkerDeleted,
        WorkerReady,
        WorkerInventoryChanged,
        WorkerSilent,
        WorkerRecovered,
        WorkerLost,
        WorkerDevicesReserved,
        WorkerDevicesReleased,
        ModelInspected,
        DeploymentFileChosen,
        ModelFileRequested,
        ModelFileDeletionRequested,
        ModelFileDownloading,
        ModelFileDownloaded,
        ModelFileFailed,
        ModelFileEvicted,
        ModelFileDeleted,
        WorkerForeignMemoryChanged,
        WorkerDiskRoomChanged,
        FleetStormDetected,
        FleetStormEnded,
        RouteCreated,
        RouteChanged,
        RouteLimitsChanged,
        RouteDeleted,
        ProviderCreated,
        ProviderChanged,
        ProviderDeleted,
        ClusterCreated,
        InferenceBackendDefined,
        InferenceBackendDeleted,
        UserCreated,
        UserPasswordChanged,
        UserHubTokenChanged,
        UserLimitsChanged,
        UserDeleted,
        ApiKeyCreated,
        ApiKeyLimitsChanged,
        ApiKeyRevoked,
        NameClaimed,
        NameReleased,
    )
}
