"""Quantum keys for software that people already use: WireGuard, strongSwan, stunnel.

Two ends agree over a stream of purpose "rotate 1" (docs/spec/rotation.md) which key comes next and when; only
key_IDs travel. What is done with the key at one end is one `Software`.
"""
