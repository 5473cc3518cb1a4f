"""Asset checks: the rules they apply, and the definitions that Dagster runs."""
