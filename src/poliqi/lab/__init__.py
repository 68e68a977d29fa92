"""Materials laboratories: a store with provenance, access to instruments, tools from measurement to figure.

Sees the network only through `poliqi.apps.share`. The tools are independent of each other.
"""
