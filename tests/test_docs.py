"""Documentation that must not drift from the code."""

from pathlib import Path

from modelyard_api.settings import ApiSettings
from modelyard_gateway.settings import GatewaySettings
from modelyard_runtime.settings import ENV_PREFIX, ServiceSettings
from modelyard_scheduler.settings import SchedulerSettings
from modelyard_worker_agent.settings import WorkerSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "api": ApiSettings,
    "scheduler": SchedulerSettings,
    "gateway": GatewaySettings,
    "worker": WorkerSettings,
}
PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def test_every_setting_of_every_service_is_documented() -> None:
    page = PAGE.read_text()
    missing = [
        f"{service}: {field}"
        for service, settings in SERVICES.items()
        for field in settings.model_fields
        if f"`{ENV_PREFIX}{field.upper()}`" not in page
    ]
    assert missing == []
