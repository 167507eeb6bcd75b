"""Calls as files: CSV, JSON Lines and Parquet, one row a call or in the columns of FOCUS."""
