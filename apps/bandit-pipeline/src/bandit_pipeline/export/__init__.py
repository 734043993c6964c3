"""What experiments have decided and earned, as files for analysis."""
