"""One machine: Valkey and Postgres as child processes, the main job, the servers of the tests."""
