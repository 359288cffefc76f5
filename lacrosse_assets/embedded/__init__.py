"""The embedded default: the services of a game, run on this machine without Docker, and the `lacrosse` command.

The pipeline knows nothing of this package: it finds the services by the addresses these leave behind
(`settings.embedded_addresses_file`), as it would find any others.
"""
