"""A live box score page that reads `sidearm.boxscores` and nothing else; README.md says how to start and change it.

It imports nothing of the platform (bench.py apart): copy the folder, and it is the start of a page of your own.
"""
