"""What a QKD device is: the Device protocol, simulated light, recordings."""
