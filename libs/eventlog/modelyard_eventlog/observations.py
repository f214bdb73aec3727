"""What agents state, on its way to the log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import nats.errors
import structlog
from modelyard_contracts.messages import Observation
from nats.aio.client import Client
from nats.js.errors import APIError
from pydantic import ValidationError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.reader import PullReader
from modelyard_eventlog.wire import MSG_ID, encode

logger = structlog.stdlib.get_logger()


TOO_LARGE = 10054
"""JetStream's code for a message that is larger than its stream takes."""


class ObservationRefused(Exception):
    """The server will not take this one however often it is tried."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Some observations in the order they were made; with `seq` the reader has come that far."""

    seq: int
    observations: tuple[Observation, ...]


class Observations:
    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=5)

    async def publish(self, observation: Observation) -> None:
        """Returns once it is on disk; the same id is kept once.

        Raises `LogUnavailable`, `ObservationRefused`.
        """
        instance_id = observation.data.get("instance_id", 0)
        subject = subjects.observation(
            observation.worker_id, instance_id if isinstance(instance_id, int) else 0, observation.event_type
        )
        try:
            await self._js.publish(
                subject, encode(observation), stream=subjects.OBS, headers={MSG_ID: observation.id}
            )
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
            raise ObservationRefused(str(error)) from error
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            if isinstance(error, APIError) and error.err_code == TOO_LARGE:
                raise ObservationRefused(error.description or str(error)) from error
            raise LogUnavailable("an observation could not be kept") from error

    async def follow(self, after: int) -> AsyncIterator[Observed]:
        """Everything beyond `after`, in order, without end. What cannot be read, or was said in the name of
        another worker, is left out."""
        reader = PullReader(self._nc, subjects.OBS, subject=subjects.ALL_OBSERVATIONS, after=after)
        async for messages in reader.batches(500):
            found = [_observation(message.subject, message.data) for _, message in messages]
            yield Observed(messages[-1][0], tuple(observation for observation in found if observation))


def _observation(subject: str, body: bytes) -> Observation | None:
    """An agent may publish on its own subjects only, so one that names another worker in the body lies."""
    try:
        observation = Observation.model_validate_json(body)
    except ValidationError as error:
        logger.error("no observation", subject=subject, error=str(error))
        return None
    if not subject.startswith(subjects.observations_of(observation.worker_id)):
        logger.error("a worker spoke for another", subject=subject, worker=observation.worker_id)
        return None
    return observation
