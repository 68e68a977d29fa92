"""Access to instruments for own people, institutes and companies: bookings, tariffs, invoices, co-funding."""
