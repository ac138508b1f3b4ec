"""The parts of the live agreement test: generated users and sessions, mutations of cookies, results, and rules."""
