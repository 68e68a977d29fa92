"""Conformance of device drivers: what each check asks, and the process in which a driver is tried."""
