"""What is believed of an experiment, and its report, over HTTP."""
