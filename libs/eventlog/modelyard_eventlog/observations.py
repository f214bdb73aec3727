"""What agents state, on its way to the log."""

import nats.errors
from modelyard_contracts.messages import Observation
from nats.aio.client import Client
from nats.js.errors import APIError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.wire import MSG_ID, encode


class Observations:
    def __init__(self, nc: Client) -> None:
        self._js = nc.jetstream(timeout=5)

    async def publish(self, observation: Observation) -> None:
        """Returns once it is on disk; the same id is kept once. Raises `LogUnavailable`."""
        instance_id = observation.data.get("instance_id", 0)
        subject = subjects.observation(
            observation.worker_id, instance_id if isinstance(instance_id, int) else 0, observation.event_type
        )
        try:
            await self._js.publish(
                subject, encode(observation), stream=subjects.OBS, headers={MSG_ID: observation.id}
            )
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("an observation could not be kept") from error
