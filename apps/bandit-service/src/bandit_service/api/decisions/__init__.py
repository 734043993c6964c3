"""Select an arm, activate a decision."""
