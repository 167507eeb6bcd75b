"""What is kept: spool, tables, writer, queries, migrations."""
