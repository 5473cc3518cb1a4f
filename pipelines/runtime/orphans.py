"""Ending a step's process with the run that started it.

A killed run cannot stop its steps: they would go on training, and write beside the next run's.
"""

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess


def end_with_the_run() -> None:
    """Ends this process when the one that started it is gone.

    Does nothing where steps run in the process of the run itself. Ending at any moment is safe:
    the store takes only finished results.
    """
    run = multiprocessing.parent_process()
    if run is not None and not any(t.name == _wait_for.__name__ for t in threading.enumerate()):
        threading.Thread(target=_wait_for, args=[run], name=_wait_for.__name__, daemon=True).start()


def _wait_for(run: BaseProcess) -> None:
    run.join()
    os._exit(1)
