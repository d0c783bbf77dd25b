"""The runner of pgagent, the job scheduler for PostgreSQL."""
