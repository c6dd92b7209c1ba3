"""Measure the service: beside other designs, as its data grow, and while other clients wait."""
