"""What readers of PostgreSQL may see: the calls their database user was granted, and nothing else.

The scope hangs on the name of the database user, which no statement of theirs can change; it is a row of
``database_readers``. The policies that narrow are restrictive: they hold for members of the group whatever else is
granted, and being plain conditions on columns they find rows by index.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "weighbridge_reader"
"""The role all readers are in; it cannot log in."""
HAS_GROUP: Final = f"SELECT 1 FROM pg_roles WHERE rolname = '{GROUP}'"
HAS_POLICIES: Final = (
    "SELECT 1 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'model_requests'"
    " AND policyname = 'own_calls'"
)
MAKE_GROUP: Final = f"""
DO $$
BEGIN
    IF NOT EXISTS ({HAS_GROUP}) THEN
        CREATE ROLE {GROUP} NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;
END $$
"""
"""Where roles may not be made there is none afterwards."""
_MINE: Final = "(SELECT reader.{0} FROM database_readers AS reader WHERE reader.role_name = current_user)"
HAS_CONTENT_POLICIES: Final = (
    "SELECT 1 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'call_contents'"
    " AND policyname = 'own_contents'"
)
MAKE_POLICIES: Final = (
    "ALTER TABLE database_readers ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE model_requests ENABLE ROW LEVEL SECURITY",
    f"GRANT SELECT ON model_requests, database_readers TO {GROUP}",
    "CREATE POLICY everybody ON database_readers USING (true)",
    "CREATE POLICY everybody ON model_requests USING (true)",
    f"CREATE POLICY own_line ON database_readers AS RESTRICTIVE TO {GROUP} USING (role_name = current_user)",
    f"CREATE POLICY own_calls ON model_requests AS RESTRICTIVE TO {GROUP} USING ("
    f" tenant_id = {_MINE.format('tenant_id')}"
    f" AND team IS NOT DISTINCT FROM COALESCE({_MINE.format('team')}, team)"
    f" AND user_id IS NOT DISTINCT FROM COALESCE({_MINE.format('user_id')}, user_id))",
)
"""For the owner of the tables, where the group is there. Users that are no readers see what their grants say."""
MAKE_CONTENT_POLICIES: Final = (
    "ALTER TABLE call_contents ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY everybody ON call_contents USING (true)",
    f"CREATE POLICY own_contents ON call_contents AS RESTRICTIVE TO {GROUP} USING ("
    f" tenant_id = {_MINE.format('tenant_id')}"
    f" AND team IS NOT DISTINCT FROM COALESCE({_MINE.format('team')}, team)"
    f" AND user_id IS NOT DISTINCT FROM COALESCE({_MINE.format('user_id')}, user_id))",
)
"""The same for captured contents. Readers are not granted them: who grants them that opens what is theirs, and no more."""
