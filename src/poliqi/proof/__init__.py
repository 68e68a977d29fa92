"""Counts to secret length: one decoy, two decoys, BBM92, and the epsilon ledger."""
