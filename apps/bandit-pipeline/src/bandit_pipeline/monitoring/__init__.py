"""Whether running experiments do what they say: asset checks on the events of each."""
