"""Where results are kept: paths, manifests, atomic writes, locks, sharded tables, object stores."""
