"""How work is run: devices, threads, processes, clusters and progress. No method in here."""
