"""The Open Bandit Dataset: from wherever it lies to typed, validated rounds.

Source: Saito, Aihara, Matsutani and Narita, "Open Bandit Dataset and Pipeline" (2021).
"""
