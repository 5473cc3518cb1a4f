"""Imported last by the fork server: what it has imported is never looked at by the collector again.

Every collection in a step's process would walk, and copy, the memory that all steps share.
"""

import gc

gc.freeze()
