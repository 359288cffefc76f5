"""The Dagster instance of this project's dagster.yaml: Dagster's own, with the patches outside the code server.

`dagster dev`, the webserver and the daemon import this module when they read `instance_class` in dagster.yaml, before
they start anything:

- `dagster dev` in the background of a script stops on SIGTERM. A script starts it with SIGINT ignored, and Dagster
  handles SIGTERM in the same way as SIGINT (`signals.py`): otherwise neither signal would stop it.
- The daemon evaluates sensors without a pause between two rounds (`sensor_daemon.py`).
- Runs mirror their output without further processes (`run_output.py`).

Dagster asks a custom instance class for its default settings. The only place that has them is private, so this module
is among the patches. With another Dagster the signals are left as they are.
"""

from typing import Any

from dagster import DagsterInstance, Field

from lacrosse_assets.dagster_patches import run_output, sensor_daemon
from lacrosse_assets.dagster_patches.guard import is_supported
from lacrosse_assets.signals import end_on_interrupts

RELIES_ON = ("dagster._core.instance.ref:InstanceRef.config_defaults",)


class PatchedInstance(DagsterInstance):
    """Dagster's instance. `sensor_round_seconds` and `mirror_output_in_process` are settings of dagster.yaml."""

    def __init__(
        self,
        *args: Any,
        sensor_round_seconds: float = sensor_daemon.ROUND_SECONDS,
        mirror_output_in_process: bool = True,
        **options: Any,
    ) -> None:
        sensor_daemon.apply(sensor_round_seconds)
        run_output.apply(enabled=mirror_output_in_process)
        super().__init__(*args, **options)

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """The settings beyond those of every instance."""
        return {
            "sensor_round_seconds": Field(float, is_required=False, default_value=sensor_daemon.ROUND_SECONDS),
            "mirror_output_in_process": Field(bool, is_required=False, default_value=True),
        }

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        """Dagster's default settings of an instance in the folder `base_dir`."""
        from dagster._core.instance.ref import InstanceRef

        return InstanceRef.config_defaults(base_dir)


if is_supported("`dagster dev` that stops on SIGTERM in the background", "dagster", *RELIES_ON):
    end_on_interrupts()
