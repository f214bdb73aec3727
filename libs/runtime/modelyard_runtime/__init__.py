"""What every process needs around its work: settings, clock, ids, logs, health, shutdown."""
