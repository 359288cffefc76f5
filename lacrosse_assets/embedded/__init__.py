"""The local environment: embedded services without Docker, Dagster, and the `lacrosse` command.

The pipeline does not import this package. It finds the services by the addresses that they publish
(`settings.embedded_addresses_file`), as it finds real ones.

| module | what it does |
|---|---|
| `cli` | the command line |
| `game` | `lacrosse game`: one game from start to finish |
| `gameday` | `lacrosse gameday`: many games from start to finish |
| `scoreboard`, `day_scoreboard` | the terminal view of one game, and of many |
| `services` | the stores and the Spark server: programs and options |
| `dagster_dev` | Dagster |
| `boxscore_page` | the example page |
| `supervision` | start, readiness, restart and stop of processes |
| `state_dir` | the lock of the state folder, and the published addresses |
| `ports` | free ports |
"""
