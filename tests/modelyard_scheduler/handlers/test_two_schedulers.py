"""Two schedulers that both believe to be the only one, on a real nats-server."""

import asyncio
from collections import Counter, defaultdict

from modelyard_contracts.events import InstanceRequested, InstanceScheduled, WorkerDevicesReserved
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_gpus import GPU_SPEC, gpu_worker, known
from modelyard_scheduler_world import GIB, SLOT, deployment, worker
from nats.aio.client import Client

WORKERS, DEPLOYMENTS, REPLICAS = 3, 4, 3
RAM_BYTES = 3 * SLOT


async def test_two_schedulers_at_once_take_no_room_twice_and_request_no_instance_twice(
    own_nats: Client,
) -> None:
    await provision(own_nats)
    cluster = Cluster(NatsEventLog(own_nats))
    for ident in range(1, WORKERS + 1):
        await cluster.tell(*worker(ident, ram_bytes=RAM_BYTES))
    for ident in range(1, DEPLOYMENTS + 1):
        await cluster.tell(deployment(ident, replicas=REPLICAS))

    async with cluster.scheduler() as one, cluster.scheduler() as other:

        async def work(scheduler: Scheduler) -> None:
            for ident in range(1, DEPLOYMENTS + 1):
                await scheduler.instances.reconcile(ident)

        await asyncio.gather(work(one), work(other))

    requested = Counter(event.deployment_id for event in await cluster.facts(InstanceRequested))
    assert requested == {ident: REPLICAS for ident in range(1, DEPLOYMENTS + 1)}
    placed = Counter(event.instance_id for event in await cluster.facts(InstanceScheduled))
    assert set(placed.values()) == {1}
    taken: dict[int, int] = defaultdict(int)
    for reserved in await cluster.facts(WorkerDevicesReserved):
        taken[reserved.worker_id] += reserved.claim.ram_bytes
    assert all(0 < ram_bytes <= RAM_BYTES for ram_bytes in taken.values())
    assert len(placed) < DEPLOYMENTS * REPLICAS, "the room must be scarce for this test to mean something"


async def test_two_schedulers_at_once_never_overcommit_a_gpu(own_nats: Client) -> None:
    """Each takes a share of a card, of which two fit."""
    await provision(own_nats)
    cluster = Cluster(NatsEventLog(own_nats))
    spec = GPU_SPEC.model_copy(
        update={"backend_parameters": ("--gpu-memory-utilization=0.45", "--max-model-len=4096")}
    )
    await cluster.tell(known(15 * GIB, spec))
    for ident in range(1, 4):
        await cluster.tell(*gpu_worker(ident, 80, 80))
    for ident in range(1, DEPLOYMENTS + 1):
        await cluster.tell(deployment(ident, replicas=4, spec=spec))

    async with cluster.scheduler() as one, cluster.scheduler() as other:

        async def work(scheduler: Scheduler) -> None:
            for ident in range(1, DEPLOYMENTS + 1):
                await scheduler.instances.reconcile(ident)

        await asyncio.gather(work(one), work(other))
        for scheduler in (one, other):
            await scheduler.decider.feed.catch_up()
            for room in scheduler.decider.picture.rooms.everyone():
                assert all(free >= 0 for free in room.free.values())
                assert all(count == 2 for count in room.device_crowd.values())
    placed = await cluster.facts(InstanceScheduled)
    assert len(placed) == len({event.instance_id for event in placed}) == 12
