"""The HTTP API of BanditDB: a campaign is an experiment with linear models."""
