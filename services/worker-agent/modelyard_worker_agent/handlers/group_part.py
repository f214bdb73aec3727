"""This worker's part in an instance that runs on several, until it is started.

All or nothing: each worker fetches the model, the primary takes the ports, the others reach it there; what
each has is a fact. Only when all have is the primary started, and then the others.
"""

import asyncio
import socket
from dataclasses import dataclass, field, replace

from modelyard_contracts.events import InstanceMemberPrepared
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.messages import GroupWant, Want

from modelyard_worker_agent.adapters.interfaces import (
    NoWay,
    device_addresses,
    hold,
    interface_of,
    let_go,
    reach,
)
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.handlers.starting import not_started, resolve

PORTS = 2
"""How many a group gets on the primary: where its parts find each other, and what Ray's head takes beside."""
ECHO_S = 2.0
"""For how long a part whose end may be an echo of another's waits for that one to be told first."""
ECHOES = frozenset({FailureCause.CRASHED, FailureCause.EXITED})


@dataclass
class GroupPart:
    """`fetched` and `prepared` are attempts; -1 for none."""

    machine: Machine
    fetched: int = -1
    prepared: int = -1
    _held: list[socket.socket] = field(default_factory=list)

    async def fetch(self, want: Want) -> None:
        """Raises `NotStarted`."""
        if self.machine.executor.in_container:
            raise not_started(
                FailureCause.BAD_ARGUMENT,
                "distributed_inference_across_workers: containers here have no network that spans workers; "
                "set MODELYARD_EXECUTOR=process on them",
            )
        await resolve(self.machine, want, _nothing)
        self.fetched = want.attempt

    async def prepare(self, want: Want, group: GroupWant) -> InstanceMemberPrepared:
        """Raises `NotStarted`."""
        self.let_go()
        try:
            interface, address = await asyncio.to_thread(interface_of, self.machine.limits.address)
            if group.rank:
                await reach(group.members[0].address or "", group.ports[0], address)
        except NoWay as error:
            raise not_started(FailureCause.BAD_ARGUMENT, str(error)) from error
        ports = self._take_ports(want, address) if group.rank == 0 else ()
        self.prepared = want.attempt
        return InstanceMemberPrepared(
            instance_id=want.instance_id,
            deployment_id=want.deployment_id,
            worker_id=self.machine.worker_id,
            attempt=want.attempt,
            address=address,
            interface=interface,
            ports=ports,
            device_addresses=device_addresses([name.rpartition(":")[2] for name in want.claim.devices()]),
        )

    def _take_ports(self, want: Want, address: str) -> tuple[int, ...]:
        """Those that were told before, if they were: the same fact is not told twice."""
        files = self.machine.files
        told = files.ports(want.instance_id, want.attempt)
        try:
            self._held = hold(address, told or (0,) * PORTS)
        except OSError as error:
            message = f"the ports of the group cannot be had: {error.strerror or error}"
            raise not_started(FailureCause.PORT_IN_USE, message) from error
        ports = tuple(int(one.getsockname()[1]) for one in self._held)
        files.keep_ports(want.instance_id, want.attempt, ports)
        return ports

    def let_go(self) -> None:
        let_go(self._held)


async def _nothing() -> None:
    """The fact that an instance downloads is the primary's."""


def named(group: GroupWant, failure: Failure) -> Failure:
    name = group.members[group.rank].worker_name
    where = f"on {name} (rank {group.rank} of {len(group.members)})"
    return replace(failure, message=f"{where}: {failure.message}")
