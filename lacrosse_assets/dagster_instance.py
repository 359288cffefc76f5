"""The Dagster instance of this project's dagster.yaml: Dagster's own, in processes that end on SIGTERM.

dagster.yaml is the one thing of ours that is loaded in `dagster dev` itself, and before it starts any process.
"""

from typing import Any

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from lacrosse_assets.signals import end_on_interrupts


class EndsOnInterrupts(DagsterInstance):
    """Dagster's instance. Reading the settings for one makes SIGINT and SIGTERM end the process (`signals.py`)."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        return InstanceRef.config_defaults(base_dir)


end_on_interrupts()
