"""Properties of a network: counts, published architectures, fingerprints, signal propagation."""
