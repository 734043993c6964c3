"""The lease-holder's work: beliefs to published weights. Imports serving, events, the stores and domain."""
