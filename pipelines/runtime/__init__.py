"""How steps and runs behave: processes, faults, retries, Ray, and the Dagster home folder."""
