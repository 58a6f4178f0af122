"""LanceDB without its remote client: quicker to import, the same for us, and whole where that fails."""

import subprocess
import sys

import pytest

USE = """
import sys, tempfile
from pathlib import Path
from reindex.stores import lance, light_import
{prepare}
connection = lance.connect(Path(tempfile.mkdtemp()), lance.WRITER_CACHE_BYTES)
table = connection.create_table("t", schema=lance.schema(4))
print(table.count_rows(), "lance_namespace_urllib3_client.models.alter_columns_entry" in sys.modules)
"""


@pytest.mark.parametrize(
    ("prepare", "is_whole"),
    [
        ("", True),
        ("light_import.make_light()", False),
        ("import lance_namespace_urllib3_client.models\nlight_import.make_light()", True),
        ("light_import.make_light()\ndel light_import._EmptyModules.create_module", True),
    ],
    ids=["a program of others", "a command", "here already", "a release that can't do with it"],
)
def test_tables_work_with_and_without_the_remote_client(prepare, is_whole):
    done = subprocess.run(
        [sys.executable, "-c", USE.format(prepare=prepare)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", str(is_whole)]
