"""Questions asked of the database: each function builds one statement, and runs nothing."""
