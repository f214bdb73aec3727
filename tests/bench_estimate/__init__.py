"""`make bench-estimate`: estimates of memory beside what backends said or were seen to take."""
