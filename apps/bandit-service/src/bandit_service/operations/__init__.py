"""What an operator runs: doctor, partitions, retention, erasure, archive. Imports the stores and domain."""
