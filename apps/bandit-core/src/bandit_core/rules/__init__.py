"""What an experiment is, what may be asked of it and what comes of that: shapes and rules, for the service and tests.

Nothing else of bandit_core imports it.
"""
