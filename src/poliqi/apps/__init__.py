"""What keys are for: streams, sharing, tunnels, messages, vaults, adapters, and the bench that compares them."""
