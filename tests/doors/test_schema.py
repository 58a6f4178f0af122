"""Schemas on disk: a released script is compared to the letter with what it made, and stays as it is."""

import hashlib

import pytest

from reindex.stores import cache, ledger_schema

RELEASED = {  # sha256 of each script; only ever add one
    "ledger": (
        ledger_schema.MIGRATIONS,
        (
            "b2cc024ad46230af",
            "d49af8af134daaf2",
            "62c27a9d18814f6a",
            "d83cd145c0d6c5ef",
            "f1fb8281d1a19230",
            "4972f115f072e164",
        ),
    ),
    "cache": (cache.MIGRATIONS, ("3348971fd1ede218", "7c13b9a11f0ea035")),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_script_is_never_changed(name):
    scripts, released = RELEASED[name]
    assert tuple(hashlib.sha256(script.encode()).hexdigest()[:16] for script in scripts) == released
