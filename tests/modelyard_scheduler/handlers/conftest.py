import pytest
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_scheduler_cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(InMemoryEventLog())
