"""When a worker asks for new NATS credentials, and what is wrong while it has none that are good."""

from datetime import datetime

DAY_S = 24 * 3600.0
LEAST_S = 1.0
BORN_DEAD_S = 60.0
FIRST_RETRY_S = 1.0
MOST_RETRY_S = 300.0


def renewal_in_s(expires_at: datetime | None, moment: datetime, *, asked: bool) -> float:
    """At half the life that is left. Where nothing expires, at half a day: addresses change too.

    `asked` says that they come from this run of the agent. Those from an earlier run are renewed at once if
    they have expired, or if there were none: the api may ask for some by now.
    """
    if expires_at is None:
        return DAY_S / 2 if asked else 0.0
    left_s = (expires_at - moment).total_seconds()
    if left_s <= 0:  # of what was given just now, too, if the clocks differ
        return BORN_DEAD_S if asked else 0.0
    return max(left_s / 2, LEAST_S)


def retry_in_s(refusals: int) -> float:
    """After so many refusals in a row."""
    return float(min(FIRST_RETRY_S * 2 ** min(refusals - 1, 20), MOST_RETRY_S))


def trouble(refused: str | None, expires_at: datetime | None, moment: datetime) -> str | None:
    """What is wrong with the credentials, in one sentence."""
    expired = expires_at is not None and expires_at <= moment
    if refused is None and not expired:
        return None
    state = "there are none" if expires_at is None else f"good until {expires_at}"
    if expired:
        state = f"they expired at {expires_at}"
    why = refused if refused is not None else "the api has not answered yet"
    return f"this worker's credentials are not renewed ({state}): {why}"
