"""Inference from adaptively collected data: the weights moved while rewards came in, and perhaps the rewards did too.

Everything here reads sums by version of the weights (`pair_sums`, or `period_sums` once versions are merged): beliefs
that hold under moving weights, effects of pairs of arms with an anytime-valid interval, forgetting, changes, power.
"""
