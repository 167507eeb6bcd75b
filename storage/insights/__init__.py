"""The facts that insights rest on (:mod:`telemetry.insights`), read from the rollups, the verdicts and a sample of calls."""
