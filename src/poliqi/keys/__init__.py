"""Key management without IO: stock, leases, deliveries, relay, and the standards that speak of them."""
