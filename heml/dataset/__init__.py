"""The rebalanced dataset on disk: Parquet shards, features, card."""
