"""What experiments have decided and earned, as files that anybody can analyse."""
