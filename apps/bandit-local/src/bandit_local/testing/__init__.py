"""What the tests of every app share, as a pytest plugin: servers, tools, workers, what is printed at the end.

Only the tests import this package: it needs pytest, which bandit-local itself does not.
"""
