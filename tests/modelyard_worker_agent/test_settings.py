"""What the intervals of the settings come to."""

from modelyard_scheduler.settings import SchedulerSettings
from modelyard_worker_agent.settings import WorkerSettings


def test_a_hung_server_leaves_routing_within_10_s_and_is_started_again_within_60() -> None:
    agent, scheduler = WorkerSettings(), SchedulerSettings()
    look_s = agent.liveness_s + agent.probe_timeout_s
    assert look_s * agent.unready_failures <= 10
    killed_s, longest_delay_s = 1.0, scheduler.restart_base_s * 1.1
    assert look_s * agent.liveness_failures + killed_s + longest_delay_s <= 60
