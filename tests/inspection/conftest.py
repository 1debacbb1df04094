"""The small writer of the store's tests."""

from tests.store.conftest import make, no_power_cuts, store, written  # noqa: F401 (fixtures)
