"""GPUs chosen by hand, as far as they can be wrong for good: by their workers. Which devices those have,
their agents may not have said yet."""

from modelyard_contracts.base import Aggregate
from modelyard_contracts.deployments import GpuSelector
from modelyard_contracts.events import WorkerRegistered
from modelyard_eventlog.log import EventLog

from modelyard_api.domain.errors import invalid
from modelyard_api.handlers.commanding import held, load


async def check_selection(log: EventLog, selector: GpuSelector | None, cluster_id: int) -> None:
    """Raises `Refusal`."""
    if selector is None or not selector.gpu_ids:
        return
    each, chosen = selector.gpus_per_replica, len(selector.gpu_ids)
    if each is not None and each > chosen:
        raise invalid(f"gpu_selector.gpus_per_replica: {each} of {chosen} gpu_ids cannot be had")
    for name in dict.fromkeys(gpu_id.rsplit(":", 2)[0] for gpu_id in selector.gpu_ids):
        worker = await held(log, Aggregate.WORKER, name)
        if worker.held_by is None:
            raise invalid(f"gpu_selector.gpu_ids: no worker is called {name!r}")
        [registered, *_] = await load(log, Aggregate.WORKER, worker.held_by)
        fact = registered.data
        if isinstance(fact, WorkerRegistered) and fact.cluster_id != cluster_id:
            told = f"worker {name!r} is in cluster {fact.cluster_id}, the deployment in {cluster_id}"
            raise invalid(f"gpu_selector.gpu_ids: {told}")
