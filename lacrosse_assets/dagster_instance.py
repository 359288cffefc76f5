"""The Dagster instance of this project's dagster.yaml: Dagster's own, in processes that end on SIGTERM, and with a
sensor daemon that does not pause between two rounds.

dagster.yaml is the one thing of ours that is loaded in `dagster dev` and in the daemon, and before they start anything.
"""

from typing import Any

from dagster import DagsterInstance, Field
from dagster._core.instance.ref import InstanceRef

from lacrosse_assets.dagster_patches import sensor_daemon
from lacrosse_assets.signals import end_on_interrupts


class EndsOnInterrupts(DagsterInstance):
    """Dagster's instance. Reading the settings for one makes SIGINT and SIGTERM end the process (`signals.py`)."""

    def __init__(self, *args: Any, sensor_round_seconds: float = sensor_daemon.ROUND_SECONDS, **options: Any) -> None:
        sensor_daemon.patch(sensor_round_seconds)
        super().__init__(*args, **options)

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return {"sensor_round_seconds": Field(float, is_required=False, default_value=sensor_daemon.ROUND_SECONDS)}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        return InstanceRef.config_defaults(base_dir)


end_on_interrupts()
