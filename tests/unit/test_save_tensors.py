"""A full disk is the system's error, whoever writes."""

import errno

import pytest
from safetensors import SafetensorError

from heml.compute.save_tensors import system_errors


def test_a_full_disk_is_called_so(tmp_path):
    with pytest.raises(OSError, match="the disk is full") as caught, system_errors(tmp_path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(caught.value)


def test_other_errors_of_safetensors_stay(tmp_path):
    with pytest.raises(SafetensorError), system_errors(tmp_path):
        raise SafetensorError("header too large")
