"""dbt's own adapter suite (`dbt-tests-adapter`) through dbt-clickhouse against the local server.

What is overridden differs in ClickHouse's SQL, not in the server: names of types in the catalog, no
implicit cast of a string to a date, NULL only in nullable columns. The slowest classes are marked.
"""

import re

import pytest
from dbt.tests.adapter.basic.expected_catalog import base_expected_catalog, no_stats
from dbt.tests.adapter.basic.test_adapter_methods import BaseAdapterMethod
from dbt.tests.adapter.basic.test_base import BaseSimpleMaterializations
from dbt.tests.adapter.basic.test_docs_generate import BaseDocsGenerate
from dbt.tests.adapter.basic.test_empty import BaseEmpty
from dbt.tests.adapter.basic.test_ephemeral import BaseEphemeral
from dbt.tests.adapter.basic.test_generic_tests import BaseGenericTests
from dbt.tests.adapter.basic.test_incremental import (
    BaseIncremental,
    BaseIncrementalNotSchemaChange,
)
from dbt.tests.adapter.basic.test_singular_tests import BaseSingularTests
from dbt.tests.adapter.basic.test_singular_tests_ephemeral import BaseSingularTestsEphemeral
from dbt.tests.adapter.basic.test_snapshot_check_cols import BaseSnapshotCheckCols
from dbt.tests.adapter.basic.test_snapshot_timestamp import BaseSnapshotTimestamp
from dbt.tests.adapter.basic.test_table_materialization import BaseTableMaterialization
from dbt.tests.adapter.basic.test_validate_connection import BaseValidateConnection
from dbt.tests.adapter.incremental.test_incremental_on_schema_change import (
    BaseIncrementalOnSchemaChange,
)
from dbt.tests.adapter.incremental.test_incremental_predicates import BaseIncrementalPredicates
from dbt.tests.adapter.incremental.test_incremental_unique_id import BaseIncrementalUniqueKey
from dbt.tests.fixtures.project import *  # noqa: F403
from dbt.tests.util import run_dbt


@pytest.fixture(scope="class")
def custom_settings():
    return {"input_format_skip_unknown_fields": 1}


@pytest.fixture(scope="class")
def dbt_profile_target(server, custom_settings):
    return {
        "type": "clickhouse",
        "driver": "http",
        "threads": 4,
        "host": server.host,
        "port": server.port,
        "user": "default",
        "password": server.passwords["default"],
        "use_lw_deletes": True,
        "custom_settings": custom_settings,
    }


pytestmark = pytest.mark.slow


class TestValidateConnection(BaseValidateConnection):
    pass


class TestSimpleMaterializations(BaseSimpleMaterializations):
    pass


class TestTableMaterialization(BaseTableMaterialization):
    pass


class TestEmpty(BaseEmpty):
    pass


class TestEphemeral(BaseEphemeral):
    pass


class TestAdapterMethods(BaseAdapterMethod):
    pass


class TestGenericTests(BaseGenericTests):
    pass


class TestSingularTests(BaseSingularTests):
    pass


class TestSingularTestsEphemeral(BaseSingularTestsEphemeral):
    pass


class TestDocsGenerate(BaseDocsGenerate):
    @pytest.fixture(scope="class")
    def expected_catalog(self, project):
        return base_expected_catalog(
            project,
            role=None,
            id_type="Int32",
            text_type="String",
            time_type="DateTime",
            view_type="view",
            table_type="table",
            model_stats=no_stats(),
        )


class TestIncremental(BaseIncremental):
    pass


class TestIncrementalNotSchemaChange(BaseIncrementalNotSchemaChange):
    pass


class TestIncrementalPredicates(BaseIncrementalPredicates):
    pass


class TestIncrementalOnSchemaChange(BaseIncrementalOnSchemaChange):
    @pytest.fixture(scope="class")
    def custom_settings(self):
        return {"cast_keep_nullable": 1}

    def test_run_incremental_append_new_columns(self, project):
        # Its second half drops a column, which dbt-clickhouse refuses with this strategy.
        self.run_incremental_append_new_columns(project)

    def test_run_incremental_fail_on_schema_change(self, project):
        select = "model_a incremental_fail"
        run_dbt(["run", "--select", select, "--full-refresh"])
        results = run_dbt(["run", "--select", select], expect_pass=False)
        assert "The source and target schemas on this incremental" in results[1].message


class TestIncrementalUniqueKey(BaseIncrementalUniqueKey):
    @pytest.fixture(scope="class")
    def models(self):
        from dbt.tests.adapter.incremental import test_incremental_unique_id as suite

        def dated(sql):
            sql = re.sub(r"'(\d{4}-\d\d-\d\d)'", r"toDate('\1')", sql)
            return sql.replace(",null,", ",'',")

        names = [
            "trinary_unique_key_list",
            "nontyped_trinary_unique_key_list",
            "unary_unique_key_list",
            "not_found_unique_key",
            "empty_unique_key_list",
            "no_unique_key",
            "empty_str_unique_key",
            "str_unique_key",
            "duplicated_unary_unique_key_list",
            "not_found_unique_key_list",
        ]
        return {
            **{f"{name}.sql": getattr(suite, f"models__{name}_sql") for name in names},
            "expected": {
                f"{name}.sql": dated(getattr(suite, f"models__expected__{name}_sql"))
                for name in ("one_str__overwrite", "unique_key_list__inplace_overwrite")
            },
        }


class TestSnapshotCheckCols(BaseSnapshotCheckCols):
    pass


class TestSnapshotTimestamp(BaseSnapshotTimestamp):
    pass
