"""The lease-holder's work: from outcomes to published weights. Imports serving, the stores and domain."""
