"""Imports leave garbage collection as it was, without the imported objects."""

import gc

import pytest

from benchmark.common.imports import frozen_imports


def test_imported_objects_are_not_collected() -> None:
    try:
        with frozen_imports():
            imported = [[]]
            assert not gc.isenabled()
        assert gc.isenabled()
        assert not any(tracked is imported for tracked in gc.get_objects())
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_collection_enabled() -> None:
    with pytest.raises(ImportError), frozen_imports():
        raise ImportError
    gc.unfreeze()
    assert gc.isenabled()
