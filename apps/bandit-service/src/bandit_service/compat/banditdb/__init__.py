"""The HTTP API of BanditDB: its campaigns are experiments that decide by features."""
