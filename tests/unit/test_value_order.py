"""Classes are numbered as the input numbers them."""

import pytest

from heml.images.groups import in_order


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        ({str(n) for n in range(12)}, (), [str(n) for n in range(12)]),
        ({"10", "-1", "2.5"}, (), ["-1", "2.5", "10"]),
        ({"b", "10", "9"}, (), ["10", "9", "b"]),
        ({"cat", "ape"}, ("zebra", "cat", "ape"), ["zebra", "cat", "ape"]),
        ({"cat", "yak"}, ("dog", "cat"), ["dog", "cat", "yak"]),
    ],
)
def test_values_keep_the_order_of_classes_and_numbers(values, declared, expected):
    assert in_order(values, declared) == expected
